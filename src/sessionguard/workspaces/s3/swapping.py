"""Change a small object that others change, too: each on what the one before made of it."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from attrs import frozen

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
            return _Change(self, judge).made()

    def _current(self) -> tuple[Kept, Small | None, bool]:
        """Give what is there, as last seen if it was seen; and whether it was looked at just now."""
        if self._known is not None:
            return self._read(self._known.data), self._known, False
        kept = self.look()
        return kept, self._known, True


@frozen
class _Outcome(Generic[Result]):
    """What came of judging: a result, or why it was refused."""

    result: Result | None = None
    refusal: Exception | None = None

    def given(self) -> Result:
        if self.refusal is not None:
            raise self.refusal
        return self.result  # type: ignore[return-value]


class _Change(Generic[Kept, Result]):
    """One change on its way, perhaps in several attempts.

    Each attempt has a mark of its own, because each is judged anew: which one was made tells what the result is.
    """

    def __init__(self, swapped: Swapped[Kept], judge: Callable[[Kept], Result]) -> None:
        self._swapped = swapped
        self._judge = judge
        self._unknown: dict[str, _Outcome[Result]] = {}
        """The marks of attempts that may have been made, or may still arrive -> what comes of the change then."""
        self._revision = 0
        """What those would have made, or will."""
        self._is_unknowable = False

    def made(self) -> Result:
        patience = self._swapped._bucket.settings.patience_seconds
        deadline = time.monotonic() + patience
        longest = _FIRST_WAIT_SECONDS
        while True:
            problem: SessionGuardError | None = None
            try:
                outcome = self._attempt()
            except WorkspaceUnavailableError as error:
                outcome, problem = None, error
            if outcome is not None:
                return outcome.given()
            self._swapped._known = None
            if self._is_unknowable or time.monotonic() > deadline:
                raise problem or self._late(patience)
            time.sleep(longest * secrets.randbelow(1000) / 1000)
            longest = min(longest * 2, _LONGEST_WAIT_SECONDS)

    def _late(self, patience: float) -> WorkspaceUnavailableError:
        problem = f"others changed it first for {patience:g} s"
        if not self._unknown:
            problem += "; nothing was done"
        return WorkspaceUnavailableError(session_of(self._swapped._key), "change", problem)

    def _attempt(self) -> _Outcome[Result] | None:
        """Give what came of it; None: look again."""
        kept, known, is_fresh = self._swapped._current()
        made = self._made_before(kept)
        if made is not None:
            return made
        try:
            outcome = _Outcome(self._judge(kept))
            changes_nothing = known is not None and self._swapped._text(kept) == known.data
        except WorkspaceUnavailableError:
            raise
        except Exception as error:
            outcome, changes_nothing = _Outcome(refusal=error), True
            kept = self._swapped._read(None if known is None else known.data)
        if changes_nothing and not self._unknown:
            # Nobody is refused, or told that there is nothing to do, by what was true a while ago.
            return outcome if is_fresh else None
        # Also where nothing is to change: what an earlier attempt would replace is gone then, so it cannot arrive late.
        return self._swap(kept, known, outcome)

    def _swap(self, kept: Kept, known: Small | None, outcome: _Outcome[Result]) -> _Outcome[Result] | None:
        mark = secrets.token_hex(6)
        kept.stamp(mark)
        data = self._swapped._text(kept)
        self._unknown[mark], self._revision = outcome, kept.revision
        swap = self._swapped._bucket.swap(self._swapped._key, data, None if known is None else known.etag)
        if swap.etag is None:
            if swap.is_certain:
                # Only this one: an earlier one may be what was in its way.
                del self._unknown[mark]
            return None
        self._swapped._known = Small(data, swap.etag)
        return outcome

    def _made_before(self, kept: Kept) -> _Outcome[Result] | None:
        """Give what comes of an attempt whose reply was lost, or came from a repetition, if it was made."""
        if not self._unknown or kept.revision < self._revision:
            return None
        mark = kept.mark_of(self._revision)
        if mark is None:
            problem = "too much happened since to tell whether the change was made"
            self._is_unknowable = True
            raise WorkspaceUnavailableError(session_of(self._swapped._key), "change", problem)
        made = self._unknown.get(mark)
        if made is None:
            # What they were to replace is gone, so they never will be; nor are they looked for among marks, which many
            # others soon push out.
            self._unknown = {}
        return made
