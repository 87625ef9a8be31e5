"""How the objects of a deployment are called: names only, no I/O.

- `<prefix><deployment>/<session_id>/manifest`: which files there are, and where their contents lie
- `<prefix><deployment>/<session_id>/<random>`: the content of one file, named by the manifest or by nobody
- `<prefix><deployment>/<session_id>/quarantine`: empty; its manifest names contents that are in quarantine
- `<prefix><deployment>/.owners/<hash>`: what the sessions of one owner hold together
- `<prefix><deployment>/.probe/<random>`: for a moment, to see whether the place keeps its promises

No key is made of text that a client gave. Dots sort before digits and letters, so that what is not a session's comes
first when keys are listed.
"""

import re
import secrets

from attrs import frozen

from sessionguard.workspaces.identities import deployment_folder, is_session_id

MANIFEST = "manifest"
APART = "quarantine"
_CONTENT = re.compile(r"([0-9a-f]{32})(?:\.[0-9]+)?", re.ASCII)
_OF_SESSION = re.compile(r".*/([0-9a-f]{34})/[^/]*", re.ASCII | re.DOTALL)
_BEFORE_SESSIONS = "/"


@frozen
class Layout:
    """The keys of one deployment."""

    folder: str
    """Before all of them; ends with a slash."""

    @classmethod
    def of(cls, prefix: str, deployment_id: str) -> "Layout":
        """Give the layout of a deployment below `prefix`."""
        return cls(f"{prefix}{deployment_folder(deployment_id)}/")

    def session(self, session_id: str) -> str:
        """Give what all keys of a session begin with."""
        return f"{self.folder}{session_id}/"

    def manifest(self, session_id: str) -> str:
        """Give the key of the manifest of a session."""
        return self.session(session_id) + MANIFEST

    def content(self, session_id: str, name: str) -> str:
        """Give the key of a content of a session."""
        return self.session(session_id) + name

    def owner(self, key: str) -> str:
        """Give the key of the book of an owner."""
        return f"{self.folder}.owners/{key}"

    def probe(self) -> str:
        """Give a key that nobody else uses."""
        return f"{self.folder}.probe/{secrets.token_hex(16)}"

    def before(self, start: str) -> str:
        """Give a key before those of all sessions whose id begins with `start` or more."""
        return self.folder + (start or _BEFORE_SESSIONS)

    def split(self, key: str) -> tuple[str, str] | None:
        """Give the session and the rest of a key; None for what is not a session's."""
        session_id, _, name = key.removeprefix(self.folder).partition("/")
        return (session_id, name) if is_session_id(session_id) and key.startswith(self.folder) else None


def new_content() -> str:
    """Give the name of a new content: random, so that nobody ever overwrites another's."""
    return secrets.token_hex(16)


def part_of(content: str, number: int) -> str:
    """Give the name of one of many contents that are written together, under one claim."""
    return f"{content}.{number}"


def claim_of(content: str) -> str:
    """Give the name under which a content is claimed while it is written."""
    return content.partition(".")[0]


def is_content(name: str) -> bool:
    """Tell whether `name` is one that `new_content` gives; nothing else is ever removed from a live session."""
    return _CONTENT.fullmatch(name) is not None


def session_of(key: str) -> str | None:
    """Give the session that a key belongs to, for messages."""
    found = _OF_SESSION.fullmatch(key)
    return None if found is None else found.group(1)
