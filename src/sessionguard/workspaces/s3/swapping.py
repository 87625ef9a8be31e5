"""Change a small object that others change, too: each on what the one before made of it."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sessionguard.errors import SessionGuardError, WorkspaceUnavailableError
from sessionguard.workspaces.s3.bucket import Bucket, Small
from sessionguard.workspaces.s3.layout import session_of
from sessionguard.workspaces.s3.manifest import Stamped

Kept = TypeVar("Kept", bound=Stamped)
Result = TypeVar("Result")

# Waits grow from the first to the last of these, each with jitter of its whole length: with n writers on one object
# one of them succeeds per round trip, so the wait must reach n round trips. "Full jitter",
# https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
_FIRST_WAIT_SECONDS: Final = 0.005
_LONGEST_WAIT_SECONDS: Final = 0.5


class Swapped(Generic[Kept]):
    """One object under a key, read as it is and replaced on the condition that nobody else has replaced it."""

    def __init__(
        self, bucket: Bucket, key: str, read: Callable[[bytes | None], Kept], text: Callable[[Kept], bytes]
    ) -> None:
        """`read` makes sense of the data, or of None where there is no object; `text` gives the data back."""
        self._bucket = bucket
        self._key = key
        self._read = read
        self._text = text
        # Threads of one process take turns here instead of colliding there.
        self._guard = threading.RLock()
        self._known: Small | None = None

    def look(self) -> Kept:
        """Give what is there now."""
        known = self._known
        found = self._bucket.get(self._key, known.etag if known else None)
        if found is not None and known is not None and found.etag == known.etag:
            found = known
        self._known = found
        return self._read(None if found is None else found.data)

    def change(self, judge: Callable[[Kept], Result]) -> Result:
        """Have `judge` change what is there, and give its result; where it changes or allows nothing, nothing is done.

        It may be called several times, each time on something fresh.

        Raises:
            WorkspaceUnavailableError: it is unknown whether the change was made, or others came first all the time.
        """
        with self._guard:
            return _Change(self, secrets.token_hex(6)).made(judge)

    def _current(self) -> tuple[Kept, Small | None, bool]:
        """Give what is there, as last seen if it was seen; and whether it was looked at just now."""
        if self._known is not None:
            return self._read(self._known.data), self._known, False
        kept = self.look()
        return kept, self._known, True


class _Change(Generic[Kept]):
    """One change on its way, perhaps in several attempts, all under one mark."""

    def __init__(self, swapped: Swapped[Kept], mark: str) -> None:
        self._swapped = swapped
        self._mark = mark
        self._tried: int | None = None
        """The revision that an attempt would have made whose outcome is not known."""
        self._result: object = None
        self._is_unknowable = False

    def made(self, judge: Callable[[Kept], Result]) -> Result:
        swapped = self._swapped
        patience = swapped._bucket.settings.patience_seconds
        deadline = time.monotonic() + patience
        longest = _FIRST_WAIT_SECONDS
        while True:
            try:
                done, result = self._attempt(judge)
                if done:
                    return result
                problem: SessionGuardError | None = None
            except WorkspaceUnavailableError as error:
                swapped._known = None
                problem = error
            if self._is_unknowable or time.monotonic() > deadline:
                raise problem or WorkspaceUnavailableError(
                    session_of(swapped._key), "change", f"others changed it first for {patience:g} s; nothing was done"
                )
            time.sleep(longest * secrets.randbelow(1000) / 1000)
            longest = min(longest * 2, _LONGEST_WAIT_SECONDS)

    def _attempt(self, judge: Callable[[Kept], Result]) -> tuple[bool, Result]:
        swapped = self._swapped
        kept, known, is_fresh = swapped._current()
        if self._is_done(kept):
            return True, self._result  # type: ignore[return-value]
        try:
            result = judge(kept)
        except Exception:
            if is_fresh:
                raise
            # Nobody is refused by what was true a while ago.
            swapped._known = None
            return False, None  # type: ignore[return-value]
        data = swapped._text(kept)
        if known is not None and data == known.data:
            # Nor is anybody told that there is nothing to do by what was true a while ago.
            if not is_fresh:
                swapped._known = None
            return is_fresh, result
        kept.stamp(self._mark)
        self._tried, self._result = kept.revision, result
        data = swapped._text(kept)
        swap = swapped._bucket.swap(swapped._key, data, None if known is None else known.etag)
        if swap.etag is None:
            if swap.is_certain:
                # Else this attempt would be looked for among marks, which many others soon push out.
                self._tried = None
            swapped._known = None
            return False, result
        swapped._known = Small(data, swap.etag)
        return True, result

    def _is_done(self, kept: Kept) -> bool:
        """Tell whether an attempt whose reply was lost, or came from a repetition, did what it was to do."""
        if self._tried is None or kept.revision < self._tried:
            return False
        mark = kept.mark_of(self._tried)
        if mark is None:
            problem = "too much happened since to tell whether the change was made"
            self._is_unknowable = True
            raise WorkspaceUnavailableError(session_of(self._swapped._key), "change", problem)
        return mark == self._mark
