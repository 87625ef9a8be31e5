"""What all workspaces of one owner hold together: one small object an owner, replaced as manifests are.

A share is entered after the claim in the manifest that it covers, and before a byte of it is stored; so the book never
says too little. It may say too much, after a crash or a deletion; nobody is refused before it was counted again.
"""

import json
import logging
from collections.abc import Callable
from typing import Any, Final, Self

from attrs import define, field

from sessionguard.errors import QuotaExceededError, WorkspaceError
from sessionguard.workspaces.quota import NOTHING, OwnerQuota, Usage
from sessionguard.workspaces.s3.bucket import Bucket
from sessionguard.workspaces.s3.layout import MANIFEST, Layout
from sessionguard.workspaces.s3.manifest import OPEN, Manifest, Stamped
from sessionguard.workspaces.s3.swapping import Swapped

_FORMAT: Final = 1
_log = logging.getLogger("sessionguard.workspaces")


@define
class OwnerBook(Stamped):
    """The shares of an owner's sessions."""

    turn: int = 0
    """Grows with each change, so that a count which began before it cannot replace the book after it."""
    shares: dict[str, Usage] = field(factory=dict)
    is_damaged: bool = False

    @classmethod
    def read(cls, text: bytes | None) -> Self:
        """Give the book kept as `text`; an empty one where there is none."""
        if text is None:
            return cls()
        try:
            kept: dict[str, Any] = json.loads(text)
            if kept["format"] != _FORMAT:
                raise ValueError(kept["format"])
            shares = {str(name): Usage(int(size), int(count)) for name, (size, count) in kept["shares"].items()}
            return cls(int(kept["revision"]), [str(mark) for mark in kept["marks"]], int(kept["turn"]), shares)
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(is_damaged=True)

    def text(self) -> bytes:
        """Give the text that `read` takes."""
        kept = {
            "format": _FORMAT,
            "revision": self.revision,
            "marks": self.marks,
            "turn": self.turn,
            "shares": {name: [share.bytes, share.files] for name, share in self.shares.items()},
        }
        return json.dumps(kept, separators=(",", ":")).encode()

    def share(self, session_id: str) -> Usage:
        """Give what a session was last known to take."""
        return self.shares.get(session_id, NOTHING)

    def excess(self, quota: OwnerQuota, session_id: str, held: Usage, wanted: Usage) -> tuple[int, int, str] | None:
        """Give the limit broken by a session that grows from `held` to `wanted`, what there would be, and the unit."""
        others = [share for other, share in self.shares.items() if other != session_id]
        used_bytes = sum(share.bytes for share in others) + wanted.bytes
        used_files = sum(share.files for share in others) + wanted.files
        if quota.bytes is not None and wanted.bytes > held.bytes and used_bytes > quota.bytes:
            return quota.bytes, used_bytes, "bytes"
        if quota.files is not None and wanted.files > held.files and used_files > quota.files:
            return quota.files, used_files, "files"
        return None


class OwnerShares:
    """The book of one owner, for whoever claims in it or gives back."""

    def __init__(self, bucket: Bucket, layout: Layout, key: str, clock: Callable[[], float]) -> None:
        self.key = key
        self._bucket = bucket
        self._layout = layout
        self._clock = clock
        self._swapped = Swapped(bucket, layout.owner(key), OwnerBook.read, OwnerBook.text)

    def cover(self, session_id: str, spoken_for: Usage, limits: OwnerQuota) -> None:
        """Have the share of a session cover what its manifest speaks for.

        Raises:
            QuotaExceededError: it does not fit beside the other sessions of the owner, not even after a count.
        """

        def enter(book: OwnerBook) -> None:
            if book.is_damaged:
                self._heal(book)
                # What it has now is what its manifest speaks for, and that is what is to be judged.
                held = NOTHING
            else:
                if book.excess(limits, session_id, book.share(session_id), spoken_for) is not None:
                    # Read after the book: whoever claims meanwhile replaces it, and then this is done again.
                    self._recount(book, list(book.shares))
                held = book.share(session_id)
            wanted = _larger(book.share(session_id), spoken_for)
            excess = book.excess(limits, session_id, held, wanted)
            if excess is not None:
                raise QuotaExceededError(session_id, *excess, "owner")
            book.turn += 1
            book.shares[session_id] = wanted

        self._swapped.change(enter)

    def recount(self, session_id: str) -> None:
        """Give back what a session does not hold any more, as after its removal."""

        def count(book: OwnerBook) -> None:
            if session_id in book.shares:
                book.turn += 1
                self._recount(book, [session_id])

        # Where it is in no book, none is made; a damaged one is left to who is judged by it.
        if session_id in self._swapped.look().shares:
            self._swapped.change(count)

    def _recount(self, book: OwnerBook, session_ids: list[str]) -> None:
        for session_id in session_ids:
            share, former = self._share_of(session_id), book.shares.pop(session_id, NOTHING)
            if share is not None:
                # What a manifest speaks for beyond that was not let in yet, and must not keep others out.
                book.shares[session_id] = _smaller(former, share)

    def _heal(self, book: OwnerBook) -> None:
        """Count a damaged book anew, from the manifests of all sessions: nothing else tells whose they are."""
        _log.warning("the book of an owner is damaged; it is counted anew: %s", self._layout.owner(self.key))
        after: str | None = self._layout.before("")
        while after is not None:
            page = self._bucket.page(self._layout.folder, after)
            for found in page.objects:
                place = self._layout.split(found.key)
                if place is not None and place[1] == MANIFEST:
                    share = self._share_of(place[0])
                    if share is not None:
                        book.shares[place[0]] = share
            after = page.after
        book.is_damaged = False

    def _share_of(self, session_id: str) -> Usage | None:
        """Give what the manifest of a session speaks for; None if it is none of this owner."""
        found = self._bucket.get(self._layout.manifest(session_id))
        if found is None:
            return None
        try:
            manifest = Manifest.read(session_id, found.data)
        except WorkspaceError:
            return None
        is_held = manifest.owner == self.key and manifest.state == OPEN
        return manifest.spoken_for(self._clock()) if is_held else None


def _larger(one: Usage, other: Usage) -> Usage:
    return Usage(max(one.bytes, other.bytes), max(one.files, other.files))


def _smaller(one: Usage, other: Usage) -> Usage:
    return Usage(min(one.bytes, other.bytes), min(one.files, other.files))
