"""Threads that play workers: made once, used for schedule after schedule."""

import os
import threading
import weakref
from collections.abc import Callable


class Abandoned(BaseException):
    """Raised at its point in a worker whose schedule is over, so that it unwinds and its thread is free again.

    It is no `Exception`, so that no handler of errors stops it.
    """


class Seat:
    """One thread, with the gate it waits at."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.gate = threading.Lock()
        self.gate.acquire()
        self.token: list[None] = []
        """Holds one entry while it is this worker's turn. Popping it is atomic, so turn and watchdog never both win."""
        self.body: Callable[[], None] | None = None
        self.thread = threading.Thread(target=self._serve, name=f"schedule-{number}", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            self.gate.acquire()
            body = self.body
            if body is None:
                return
            body()

    def play(self, body: Callable[[], None]) -> None:
        """Let the thread run `body` once."""
        self.body = body
        self.gate.release()

    def dismiss(self) -> None:
        """Let the thread end."""
        self.body = None
        self.gate.release()


class Pool:
    """As many seats as the largest schedule needed."""

    def __init__(self) -> None:
        self.seats: list[Seat] = []
        self.by_thread: dict[int, Seat] = {}
        _pools.add(self)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for seat in self.seats:
            seat.dismiss()
        for seat in self.seats:
            seat.thread.join()

    def take(self, count: int) -> list[Seat]:
        """Give that many seats; their threads wait for a body."""
        while len(self.seats) < count:
            self._add(len(self.seats))
        return self.seats[:count]

    def give_up(self, seat: Seat) -> None:
        """Put another thread in the place of one that hangs; it ends with the process."""
        del self.by_thread[seat.thread.ident or 0]
        seat.dismiss()
        self._add(seat.number)

    def _add(self, number: int) -> None:
        seat = Seat(number)
        self.seats[number : number + 1] = [seat]
        self.by_thread[seat.thread.ident or 0] = seat


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()


def _forget_workers() -> None:
    # Whoever a forked child would hand the baton to does not exist there; its only thread passes every point.
    for pool in list(_pools):
        pool.by_thread.clear()


os.register_at_fork(after_in_child=_forget_workers)
