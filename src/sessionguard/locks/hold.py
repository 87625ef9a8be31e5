"""What a hold on a session knows and decides, whoever waits for the store: a thread or a task."""

import os
import threading
from typing import Final

from sessionguard.core.driving import Flow
from sessionguard.core.holding import HoldingFlows, Tenure
from sessionguard.core.leases import LEASE
from sessionguard.errors import MisuseError, SessionEndedError


class Hold:
    """One claim on one session, from where it is acquired to where it is released, in this process."""

    def __init__(self, tenure: Tenure, flows: HoldingFlows) -> None:
        self._tenure: Final = tenure
        self._flows: Final = flows
        self._pid = os.getpid()
        # Taken by the first to come: the store would take a second for a repetition of the first.
        self._acquiring: Final = threading.Lock()
        self._is_acquired = False
        self._is_released = False
        self._is_given_up = False

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
        return self._is_to_release and not self._is_released and self._flows.is_held(self._tenure)

    @property
    def ended_reason(self) -> str | None:
        """Why the session has ended meanwhile, if that is known; its files stay until it is released."""
        return self._tenure.ended_reason

    def check(self) -> None:
        """Raise `LeaseLostError` if it has lapsed, and `MisuseError` if it is not held in the first place."""
        if not self._is_to_release:
            raise MisuseError("the session is not held by this process; call acquire first")
        if not self._is_released or self._tenure.lost_reason is not None:
            self._flows.check(self._tenure)

    def __repr__(self) -> str:
        state = "held" if self.is_held else "released" if self._is_released else "not held"
        return f"<{type(self).__name__} of session {self.session_id}, {state}>"

    # Acquiring and releasing, but for what waits

    def _begin(self) -> None:
        if not self._acquiring.acquire(blocking=False):
            raise MisuseError("a session is held once by each hold; call guard.hold again for another")
        self._pid, self._is_given_up = os.getpid(), False
        self._flows.name_anew(self._tenure)

    def _fail(self) -> None:
        """Acquiring failed: nothing beats for it any more, and it may be tried again."""
        self._is_given_up = True
        self._acquiring.release()

    def _may_have_begun(self, error: BaseException) -> bool:
        """Whether an attempt that ended by `error` may have taken the lease all the same."""
        return not isinstance(error, SessionEndedError)

    @property
    def _is_to_release(self) -> bool:
        """Whether there is, or was, something to release. Not in a forked child: what its parent holds is not its."""
        return self._is_acquired and self._pid == os.getpid()

    @property
    def _is_beating(self) -> bool:
        """Whether the lease is to be renewed. One that was lost is never renewed: others have come since."""
        return not self._is_released and not self._is_given_up and self._tenure.lost_reason is None

    def _renewal(self) -> Flow[None]:
        return self._flows.keep(self._tenure)

    def _check_released(self) -> None:
        if self._is_to_release:
            self.check()
