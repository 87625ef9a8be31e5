"""The hold on a session that `SessionGuard.hold` gives."""

import contextlib
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from sessionguard.beating import Heart
from sessionguard.core.driving import Flow
from sessionguard.core.holding import HoldingFlows, Tenure
from sessionguard.core.leases import LEASE
from sessionguard.errors import MisuseError, SessionEndedError, SessionGuardError


class Closable(Protocol):
    """What is closed at the end."""

    def close(self) -> None:
        """Close it."""


class SessionHold:
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
        self._tenure = tenure
        self._flows = flows
        self._run = run
        self._run_once = run_once
        self._heart = heart
        self._lease_files = lease_files
        self._files: Closable | None = None
        self._beat: int | None = None
        self._pid = os.getpid()
        # Taken by the first to come: the store would take a second for a repetition of the first.
        self._acquiring = threading.Lock()
        self._releasing = threading.Lock()
        # A beat that is under way while it is released must not take that for a loss.
        self._beating = threading.Lock()
        self._is_acquired = False
        self._is_released = False

    @property
    def session_id(self) -> str:
        """The session that is held."""
        return self._tenure.session.id

    @property
    def name(self) -> str:
        """Empty: it is no lock, though `save` and `workspace` take it as one."""
        return LEASE

    @property
    def fence(self) -> int:
        """The number of this holding, higher than that of every earlier one. Known once acquired."""
        return self._tenure.require_fence()

    @property
    def floor(self) -> int | None:
        """The lowest number with which anybody holds the session, as far as is known here."""
        return self._tenure.floor

    @property
    def is_held(self) -> bool:
        """Whether it was acquired, not released, and cannot have lapsed."""
        return self._is_acquired and not self._is_released and self._is_ours and self._flows.is_held(self._tenure)

    @property
    def ended_reason(self) -> str | None:
        """Why the session has ended meanwhile, if that is known; its files stay until it is released."""
        return self._tenure.ended_reason

    @property
    def _is_ours(self) -> bool:
        return self._pid == os.getpid()

    def check(self) -> None:
        """Raise `LeaseLostError` if it has lapsed, and `MisuseError` if it is not held in the first place."""
        if not self._is_acquired or not self._is_ours:
            raise MisuseError("the session is not held by this process; call acquire first")
        if not self._is_released or self._tenure.lost_reason is not None:
            self._flows.check(self._tenure)

    def acquire(self) -> Self:
        """Hold the session from now on. Raises `SessionEndedError` if it is over."""
        if not self._acquiring.acquire(blocking=False):
            raise MisuseError("a session is held once by each hold; call guard.hold again for another")
        try:
            self._acquire()
        except BaseException:
            self._acquiring.release()
            raise
        return self

    def _acquire(self) -> None:
        self._pid = os.getpid()
        self._files = self._lease_files()
        try:
            self._run(self._flows.begin(self._tenure))
            self._beat = self._heart.add(self._renew, self._tenure.period_seconds)
        except BaseException as error:
            if not isinstance(error, SessionEndedError):
                # The interrupted attempt may have begun it.
                with contextlib.suppress(SessionGuardError):
                    self._run_once(self._flows.abandon(self._tenure))
            self._let_go_of_files()
            raise
        self._is_acquired = True

    def release(self) -> None:
        """Hold it no more, from whichever thread. Again, or in a forked child, it does nothing.

        Raises:
            LeaseLostError: it had lapsed before.
        """
        self._release()
        if self._is_ours and self._is_acquired:
            self.check()

    def _release(self) -> None:
        if not self._is_acquired or not self._is_ours:
            return
        with self._releasing:
            if self._is_released:
                return
            if self._beat is not None:
                self._heart.remove(self._beat)
            with self._beating:
                self._is_released = True
            try:
                # The files first: whoever lets go last removes them.
                self._let_go_of_files()
            finally:
                self._run(self._flows.finish(self._tenure))

    def _let_go_of_files(self) -> None:
        files, self._files = self._files, None
        if files is not None:
            files.close()

    def _renew(self) -> None:
        with self._beating:
            if not self._is_released and self._tenure.lost_reason is None:
                self._run_once(self._flows.keep(self._tenure))

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.release()
        else:
            self._release()
