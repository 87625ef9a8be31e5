"""The lock that `SessionGuard.lock` gives."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sessionguard.beating import Heart
from sessionguard.core.driving import Flow
from sessionguard.core.locking import BEAT_SECONDS, Claim, LockFlows
from sessionguard.errors import LockLostError, LockTimeoutError, MisuseError, SessionEndedError, SessionGuardError
from sessionguard.locks.gates import Gates


class SessionLock:
    """A lock that is held inside its `with` block.

    While it is held, a background thread renews it. If it lapses all the same (the process was stopped for
    longer than the lease), `check` raises `LockLostError`, and so does leaving the block.
    """

    def __init__(
        self,
        claim: Claim,
        flows: LockFlows,
        run: Callable[[Flow[Any]], Any],
        run_once: Callable[[Flow[Any]], Any],
        gates: Gates,
        heart: Heart,
    ) -> None:
        """`run_once` does not repeat what the store leaves unanswered: for what is done again anyway, or gives up."""
        self._claim = claim
        self._flows = flows
        self._run = run
        self._run_once = run_once
        self._gates = gates
        self._heart = heart
        self._key = (claim.session_id, claim.name)
        self._beat: int | None = None
        self._fence: int | None = None
        self._pid = os.getpid()
        self._is_lost = False
        # A beat that is under way while the block is left must not take the release for a loss.
        self._beating = threading.Lock()
        self._is_left = False
        # Taken by the first to enter: the store would take a second for a repetition of the first.
        self._entering = threading.Lock()

    @property
    def session_id(self) -> str:
        """The session that it is a lock of."""
        return self._claim.session_id

    @property
    def name(self) -> str:
        """Its name within the session."""
        return self._claim.name

    @property
    def fence(self) -> int:
        """The number of this holding, higher than that of every earlier one. Known from entering on."""
        if self._fence is None:
            raise MisuseError("the lock is not held yet; use it inside its with block")
        return self._fence

    @property
    def timeout_seconds(self) -> float:
        """How long entering waits at most."""
        return self._claim.timeout_seconds

    def check(self) -> None:
        """Raise `LockLostError` if the lock is known to have lapsed."""
        if self._is_lost:
            raise LockLostError(self._claim.session_id, self._claim.name, self.fence)

    def __enter__(self) -> Self:
        return self._entered(0.0)

    def attempt(self) -> Self:
        """Enter without waiting; for adapters, which wait in their own way.

        Raises `LockTimeoutError` if others hold it; it may then be attempted again.
        """
        return self._entered(self._claim.timeout_seconds)

    def _entered(self, already_waited: float) -> Self:
        if not self._entering.acquire(blocking=False):
            raise MisuseError("a lock is entered once; call guard.lock again for another holding")
        try:
            self._enter(already_waited)
        except BaseException:
            self._entering.release()
            raise
        self._pid = os.getpid()
        return self

    def _enter(self, already_waited: float) -> None:
        self._claim = self._flows.anew(self._claim)
        timeout = self._claim.timeout_seconds
        started = time.monotonic() - already_waited
        if not self._gates.enter(self._key, timeout - already_waited):
            raise LockTimeoutError(self._claim.session_id, self._claim.name, timeout)
        try:
            self._fence = self._acquire(time.monotonic() - started)
            self._beat = self._heart.add(self._renew, BEAT_SECONDS)
        except BaseException:
            self._gates.leave(self._key)
            raise

    def _acquire(self, already_waited: float) -> int:
        try:
            return int(self._run(self._flows.acquire(self._claim, already_waited)))
        except (LockTimeoutError, SessionEndedError, MisuseError):
            raise
        except BaseException:
            # The interrupted attempt may have taken the lock.
            with contextlib.suppress(SessionGuardError):
                self._run_once(self._flows.abandon(self._claim))
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pid != os.getpid():
            # A forked child leaves the block too; the lock is its parent's.
            return
        if self._beat is not None:
            self._heart.remove(self._beat)
        with self._beating:
            self._is_left = True
        try:
            if not self._run(self._flows.release(self._claim, self.fence)):
                self._is_lost = True
        finally:
            self._gates.leave(self._key)
        if error is None:
            self.check()

    def _renew(self) -> bool:
        """Renew the lock, and tell whether to go on."""
        with self._beating:
            if not self._is_left and not self._is_lost:
                self._is_lost = not self._run_once(self._flows.renew(self._claim, self.fence))
            return not self._is_left and not self._is_lost
