"""The hold on a session that `SessionGuard.hold` gives."""

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from sessionguard.beating import Heart
from sessionguard.core.driving import Flow
from sessionguard.core.holding import HoldingFlows, Tenure
from sessionguard.errors import SessionGuardError
from sessionguard.locks.hold import Hold


class Closable(Protocol):
    """What is closed at the end."""

    def close(self) -> None:
        """Close it."""


class SessionHold(Hold):
    """A session that is in use from `acquire` to `release`, or within a `with` block; by any thread of this process.

    Until then its files are not removed and it does not expire by idleness. A background thread renews the lease.
    Whoever was stopped for longer than that lasts has lost it, and is told by `check`, by `release` and at the end of
    the block. Nobody has to release what a process held that died: its lease lapses.
    """

    def __init__(
        self,
        tenure: Tenure,
        flows: HoldingFlows,
        run: Callable[[Flow[Any]], Any],
        run_once: Callable[[Flow[Any]], Any],
        heart: Heart,
        lease_files: Callable[[], Closable | None],
    ) -> None:
        """`run_once` does not repeat what the store leaves unanswered: for what is done again anyway, or gives up."""
        super().__init__(tenure, flows)
        self._run = run
        self._run_once = run_once
        self._heart = heart
        self._lease_files = lease_files
        self._files: Closable | None = None
        self._beat: int | None = None
        self._releasing = threading.Lock()
        # A beat that is under way while it is released must not take that for a loss.
        self._beating = threading.Lock()

    def acquire(self) -> Self:
        """Hold the session from now on. Raises `SessionEndedError` if it is over."""
        self._begin()
        try:
            self._acquire()
        except BaseException:
            self._fail()
            raise
        return self

    def _acquire(self) -> None:
        self._files = self._lease_files()
        try:
            self._run(self._flows.begin(self._tenure))
            self._beat = self._heart.add(self._renew, self._tenure.period_seconds)
        except BaseException as error:
            try:
                if self._may_have_begun(error):
                    with contextlib.suppress(SessionGuardError):
                        self._run_once(self._flows.abandon(self._tenure))
            finally:
                self._let_go_of_files()
            raise
        self._is_acquired = True

    def release(self) -> None:
        """Hold it no more, from whichever thread. Again, or in a forked child, it does nothing.

        Raises:
            LeaseLostError: it had lapsed before.
        """
        self._release()
        self._check_released()

    def _release(self) -> None:
        try:
            if self._is_to_release:
                with self._releasing:
                    self._release_once()
        except BaseException:
            # Interrupted, perhaps before the beat was removed: what nobody gives back has to lapse, and files do not.
            self._is_given_up = True
            self._let_go_of_files()
            raise

    def _release_once(self) -> None:
        if self._is_released:
            return
        try:
            # The files first: whoever lets go last removes them. That may take longer than a lease lasts, so it beats.
            self._let_go_of_files()
        finally:
            if self._beat is not None:
                self._heart.remove(self._beat)
            with self._beating:
                self._is_released = True
            self._run(self._flows.finish(self._tenure))

    def _let_go_of_files(self) -> None:
        files, self._files = self._files, None
        if files is not None:
            files.close()

    def _renew(self) -> bool:
        """Renew the lease, and tell whether to go on."""
        with self._beating:
            if self._is_beating:
                self._run_once(self._renewal())
            return self._is_beating

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.release()
        else:
            self._release()
