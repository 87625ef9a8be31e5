"""Waits of workers for what no point declares: a lock of a file, a database that is busy, a sleep."""

from collections.abc import Callable

from attrs import define, frozen

from sessionguard.core.points import point
from sessionguard.testing.schedule.io.listening import unheard
from sessionguard.testing.schedule.track import Track


@frozen
class Ticket:
    """What one wait is for: to be let go on."""

    number: int

    def __str__(self) -> str:
        return "(until it may go on)"


@define(eq=False)
class _Wait:
    worker: int
    ticket: Ticket
    is_over: Callable[[], bool]
    may_give_up: bool
    is_vain: bool = False


class Waits:
    """The workers of one schedule that wait. Before each decision it is seen who need not wait any more."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._waiting: list[_Wait] = []
        self._count = 0
        track.look_again = self._look_again

    def wait(self, worker: int, label: str, is_over: Callable[[], bool], may_give_up: bool) -> bool:
        """Let the worker, which calls this, wait; False if nobody else can go on, so that it would wait for ever."""
        self._count += 1
        wait = _Wait(worker, Ticket(self._count), is_over, may_give_up)
        self._waiting.append(wait)
        self._track.hold(wait.ticket, by_nobody=True)
        try:
            point(label, wait.ticket, "acq")
        finally:
            # Held by whoever waited for it, it would be taken for a lock that is never given back.
            self._track.holders.pop(wait.ticket, None)
        return not wait.is_vain

    def _look_again(self) -> None:
        with unheard():
            over = [wait for wait in self._waiting if wait.is_over()]
        for wait in over:
            self._let_go(wait)
        if self._waiting and not self._track.enabled():
            # Where a time limit would end the wait in the end, it ends now.
            for wait in self._waiting:
                if wait.may_give_up:
                    wait.is_vain = True
                    self._let_go(wait)
                    return

    def _let_go(self, wait: _Wait) -> None:
        self._waiting.remove(wait)
        self._track.let_go(wait.ticket)
