"""Where the files of a session live below the root: names only, no I/O.

- `<root>/<deployment>/<shard>/<session_id>/files/`: what the application sees
- `<root>/<deployment>/<shard>/<session_id>/private/`: the ledger and unfinished writes
- `<root>/<deployment>/.pending/<session_id>`: its removal was asked for while it was in use
- `<root>/<deployment>/.quarantine/<session_id>.<random>`: of a session that the store has lost
- `<root>/<deployment>/.trash/<session_id>.<random>`: out of reach, being deleted
"""

import hashlib
import re

from sessionguard.errors import InvalidArgumentError

FILES = "files"
PRIVATE = "private"
LEDGER = "ledger"
PENDING = ".pending"
QUARANTINE = ".quarantine"
TRASH = ".trash"

SHARDS = tuple(f"{number:02x}" for number in range(256))
TEMPORARY_PREFIX = "write-"

_SESSION_ID = re.compile(r"[0-9a-f]{34}", re.ASCII)


def is_session_id(value: object) -> bool:
    """Tell whether `value` is text of exactly 34 lower-case hexadecimal characters."""
    # fullmatch: `$` would let a trailing newline through.
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


def checked_session_id(value: object) -> str:
    """Give `value` back if it may become part of a path.

    Raises:
        InvalidArgumentError: it is not a session_id; no path was made from it.
    """
    if not is_session_id(value):
        raise InvalidArgumentError("session_id", value, "give the id of a Session, 34 hexadecimal characters")
    return str(value)


def deployment_folder(deployment_id: str) -> str:
    """Give the directory name of a deployment; two deployments sharing a root never share it.

    Raises:
        InvalidArgumentError: the deployment_id is empty or not text.
    """
    if not isinstance(deployment_id, str) or not deployment_id:
        raise InvalidArgumentError("deployment_id", deployment_id, "give the non-empty deployment id kept in the store")
    return hashlib.sha256(deployment_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def shard_of(session_id: str) -> str:
    """Give the name of the directory that holds the directory of this session."""
    return session_id[-2:]
