"""What a workspace in object storage holds, and who may change it: decisions without I/O.

The manifest is one small object, replaced only by whoever has seen it as it is (If-Match). A file is there when the
manifest says so. All times are seconds since 1970 by the clock of the server, which each client counts on from the last
reply: they may be a second or two apart.
"""

import errno
import json
import os
import secrets
from collections.abc import Iterable
from typing import Any, Final, Self

from attrs import define, field, frozen

from sessionguard.core.commands import Fence
from sessionguard.core.leases import lost
from sessionguard.errors import LeaseLostError, WorkspaceError
from sessionguard.workspaces.names import NamesTogether
from sessionguard.workspaces.quota import Quota, Usage
from sessionguard.workspaces.s3.layout import claim_of

_FORMAT: Final = 1
_LARGEST_BYTES: Final = 16 * 1024 * 1024
_REMEMBERED: Final = 32
_STEP_BYTES: Final = 5 * 1024 * 1024
_SHARE_OF_ROOM: Final = 64

CLAIM_SECONDS: Final = 300.0
"""A writer that does not renew its claim for so long is taken for dead: what it reserved is free again."""
KEEP_SECONDS: Final = 3600.0
"""What was replaced or deleted is kept for so long, for readers that are at it and links that were given out."""

OPEN, REMOVED, QUARANTINED = "open", "removed", "quarantined"


@frozen
class Entry:
    """One file: the name of its content and its length."""

    content: str
    bytes: int


@frozen
class Claim:
    """What one unfinished write has reserved, until it is taken for dead."""

    bytes: int
    files: int
    until: float


@frozen
class Share:
    """What a session takes of what its owner may hold."""

    usage: Usage
    owner: str | None
    """The key of the owner's book; None: nothing limits the owner."""


@frozen
class Apart:
    """What was put into quarantine: files that nobody is given, kept for a person to look at."""

    since: float
    files: dict[str, Entry]


@define
class Stamped:
    """Something that many replace in turn, each by the next revision, under a mark that tells whose it is.

    Whoever does not know whether its replacement happened reads again: it did if that revision bears its mark.
    """

    revision: int = 0
    marks: list[str] = field(factory=list)
    """Of the latest revisions, oldest first."""

    def stamp(self, mark: str) -> None:
        """Make it the next revision, with this mark."""
        self.revision += 1
        self.marks = [*self.marks[-_REMEMBERED + 1 :], mark]

    def mark_of(self, revision: int) -> str | None:
        """Give the mark of a revision; None if it is not there yet or too long ago."""
        place = len(self.marks) - 1 - (self.revision - revision)
        return self.marks[place] if 0 <= place < len(self.marks) else None


@define
class Manifest(Stamped):
    """The files of one session, the claims of its writers, the fences of its locks."""

    incarnation: str = field(factory=lambda: secrets.token_hex(8))
    """Of this workspace; one made anew after a removal has another."""
    state: str = OPEN
    files: dict[str, Entry] = field(factory=dict)
    claims: dict[str, Claim] = field(factory=dict)
    """By the name of the content, or of the contents, that are being written."""
    discards: dict[str, float] = field(factory=dict)
    """Contents that no file has any more -> when they may go."""
    fences: dict[str, int] = field(factory=dict)
    owner: str | None = None
    """The key of the owner's book."""
    apart: list[Apart] = field(factory=list)
    """What is in quarantine; the workspace may have been begun anew since."""

    @classmethod
    def read(cls, session_id: str, text: bytes) -> Self:
        """Give the manifest kept as `text`.

        Raises:
            WorkspaceError: it is none; nothing is guessed.
        """
        try:
            kept: dict[str, Any] = json.loads(text)
            if kept["format"] != _FORMAT:
                raise ValueError(kept["format"])
            return cls(
                revision=int(kept["revision"]),
                marks=[str(mark) for mark in kept["marks"]],
                incarnation=str(kept["incarnation"]),
                state=str(kept["state"]),
                files=_entries(kept["files"]),
                claims={
                    str(name): Claim(int(size), int(count), float(until))
                    for name, (size, count, until) in kept["claims"].items()
                },
                discards={str(name): float(at) for name, at in kept["discards"].items()},
                fences={str(name): int(number) for name, number in kept["fences"].items()},
                owner=kept["owner"],
                apart=[Apart(float(since), _entries(files)) for since, files in kept["apart"]],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorkspaceError(session_id, "its manifest cannot be read; restore it or end the session") from error

    def text(self, session_id: str) -> bytes:
        """Give the text that `read` takes.

        Raises:
            WorkspaceError: it would be too large to be replaced at each change.
        """
        kept = {
            "format": _FORMAT,
            "revision": self.revision,
            "marks": self.marks,
            "incarnation": self.incarnation,
            "state": self.state,
            "files": _told(self.files),
            "claims": {name: [claim.bytes, claim.files, claim.until] for name, claim in self.claims.items()},
            "discards": self.discards,
            "fences": self.fences,
            "owner": self.owner,
            "apart": [[apart.since, _told(apart.files)] for apart in self.apart],
        }
        text = json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > _LARGEST_BYTES:
            raise WorkspaceError(session_id, "it has too many files for one manifest; set workspace_files, or zip them")
        return text

    # Who may

    def require_open(self, session_id: str, incarnation: str | None) -> None:
        """Return if this is the workspace that was leased and nobody is removing it.

        Raises:
            LeaseLostError: it is not.
        """
        if self.state == REMOVED:
            raise LeaseLostError(session_id, "it is being removed; its session has ended")
        if incarnation is not None and self.state == QUARANTINED:
            raise LeaseLostError(session_id, "it is in quarantine; its session was lost")
        if incarnation is not None and incarnation != self.incarnation:
            raise LeaseLostError(session_id, "it was removed or put into quarantine, and made anew since")

    def pass_fence(self, session_id: str, fence: Fence | None) -> None:
        """Return if nobody has been here whom it must not follow; from now on nobody below its lowest passes.

        Raises:
            LockLostError: somebody has.
            LeaseLostError: somebody has since the lease of the `fence` had lapsed.
        """
        if fence is not None:
            least = self.fences.get(fence.name, 0)
            if least > fence.number:
                raise lost(session_id, fence)
            self.fences[fence.name] = max(least, fence.lowest)

    # Names

    def count_new(self, session_id: str, names: Iterable[str], *, replace: bool) -> int:
        """Tell how many of these names, all different, no file has yet.

        Raises:
            PathEscapeError: a file cannot have such a name beside those that are there.
            FileExistsError: one has it, and may not be replaced.
        """
        together = NamesTogether(session_id)
        for name in self.files:
            together.add_existing(tuple(name.split("/")))
        new = 0
        for name in names:
            together.add(tuple(name.split("/")))
            new += name not in self.files
            if name in self.files and not replace:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        return new

    # Quota

    def usage(self) -> Usage:
        """Count the files."""
        return Usage(sum(entry.bytes for entry in self.files.values()), len(self.files))

    def spoken_for(self, now: float) -> Usage:
        """Give what is there and what the living have claimed, together."""
        held = self.usage()
        alive = [claim for claim in self.claims.values() if claim.until > now]
        return Usage(held.bytes + sum(claim.bytes for claim in alive), held.files + sum(claim.files for claim in alive))

    def share(self, now: float) -> Share:
        """Give what is spoken for, and in whose book."""
        return Share(self.spoken_for(now), self.owner)

    def excess(self, quota: Quota, more: Usage, now: float) -> tuple[int, int, str] | None:
        """Give the limit that `more` would break, what there would be, and the unit; None if none."""
        total = self.spoken_for(now)
        if quota.bytes is not None and more.bytes and total.bytes + more.bytes > quota.bytes:
            return quota.bytes, total.bytes + more.bytes, "bytes"
        if quota.files is not None and more.files and total.files + more.files > quota.files:
            return quota.files, total.files + more.files, "files"
        return None

    def step(self, quota: Quota, need_bytes: int, now: float) -> int:
        """Give how many bytes to claim when `need_bytes` are needed and fit: more, so that streaming asks rarely."""
        most = _STEP_BYTES if quota.bytes is None else (quota.bytes - self.spoken_for(now).bytes) // _SHARE_OF_ROOM
        if quota.owner is not None and quota.owner.bytes is not None:
            most = min(most, quota.owner.bytes // _SHARE_OF_ROOM)
        # Never more than a small share of the room: else one idle writer's spare claim
        # would make another writer's bytes be refused although they fit.
        return max(need_bytes, min(_STEP_BYTES, most))

    def enter_claim(self, claim: str, more: Usage, now: float) -> None:
        """Enter `more` for a writer, and take it for alive from now on."""
        held = self.claims.get(claim, Claim(0, 0, 0))
        self.claims[claim] = Claim(held.bytes + more.bytes, held.files + more.files, now + CLAIM_SECONDS)

    def narrow_claim(self, claim: str, extent: Usage) -> None:
        """Have a claim cover no more than `extent`."""
        held = self.claims[claim]
        self.claims[claim] = Claim(min(held.bytes, extent.bytes), held.files, held.until)

    def extent_of(self, claim: str) -> Usage:
        """Give what a claim covers."""
        return Usage(self.claims[claim].bytes, self.claims[claim].files)

    def forget_the_dead(self, now: float) -> None:
        """Drop the claims of writers that are taken for dead."""
        self.claims = {name: claim for name, claim in self.claims.items() if claim.until > now}

    # Files

    def publish(self, name: str, content: str, size: int, now: float) -> None:
        """Give `name` the new content; what it had before goes later."""
        self.take_away(name, now)
        self.files[name] = Entry(content, size)

    def take_away(self, name: str, now: float) -> bool:
        """Take a file out; False if there was none."""
        former = self.files.pop(name, None)
        if former is not None:
            self.discards[former.content] = now + KEEP_SECONDS
        return former is not None

    def condemn(self, content: str, now: float) -> bool:
        """Let an unnamed content go, so that its writer, if it lives after all, cannot publish it; False: not so."""
        claim = self.claims.get(claim_of(content))
        if content in self.named() or (claim is not None and claim.until > now):
            return False
        self.discards.setdefault(content, now)
        return True

    def named(self) -> set[str]:
        """Give the contents of all files, and of those in quarantine."""
        return {entry.content for entry in self.files.values()} | self.kept()

    def kept(self) -> set[str]:
        """Give the contents of the files in quarantine, which no removal takes."""
        return {entry.content for apart in self.apart for entry in apart.files.values()}

    def is_given_up(self, claim: str) -> bool:
        """Tell whether something that was written under this claim was condemned."""
        return any(claim_of(content) == claim for content in self.discards)

    def due(self, now: float) -> list[str]:
        """Give the contents that may go now."""
        return [content for content, at in self.discards.items() if at <= now]

    # States

    def enter(self, state: str) -> None:
        """Change the state; nobody who leased it before can publish any more."""
        self.state, self.claims = state, {}

    def begin_anew(self) -> None:
        """Open what is in quarantine to its next user, who finds nothing in it."""
        if self.state == QUARANTINED:
            self.enter(OPEN)
            self.incarnation = secrets.token_hex(8)

    def put_apart(self, now: float) -> None:
        """Put the files into quarantine."""
        self.apart.append(Apart(now, self.files))
        self.files = {}
        self.enter(QUARANTINED)

    def release(self, before: float) -> None:
        """Let the contents of files go that were put into quarantine earlier than that."""
        over = [apart for apart in self.apart if apart.since < before]
        self.apart = [apart for apart in self.apart if apart.since >= before]
        for apart in over:
            self.discards.update((entry.content, apart.since) for entry in apart.files.values())


def _entries(kept: dict[str, Any]) -> dict[str, Entry]:
    return {str(name): Entry(str(content), int(size)) for name, (content, size) in kept.items()}


def _told(files: dict[str, Entry]) -> dict[str, list[object]]:
    return {name: [entry.content, entry.bytes] for name, entry in files.items()}
