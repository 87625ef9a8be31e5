"""What runs in a child process: parts of workers, which stop at every point until the parent lets them go on."""

import random
import uuid
from collections.abc import Callable, Hashable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from attrs import evolve, frozen

from sessionguard.core import points
from sessionguard.testing.history import History, Operation, Recording
from sessionguard.testing.schedule.accesses import OPERATIONS, RETURN, Point
from sessionguard.testing.schedule.clock import VirtualClock
from sessionguard.testing.schedule.frames import last_frames
from sessionguard.testing.schedule.pool import Abandoned
from sessionguard.testing.schedule.refusing import refuse_unplayed

RemotePart = Callable[["Participant"], Any]


@frozen
class Order:
    """What a child is to play in one schedule."""

    name: str
    parts: tuple[RemotePart, ...]
    seed: int
    is_clock_moving: bool


@frozen
class Go:
    """Lets a child go on from its point, or tells it to unwind."""

    now: int
    """The counter of the schedule."""
    clock_us: int
    is_over: bool = False


@frozen
class Report:
    """Where a child has come."""

    point: Point | None
    """None: to its end."""
    now: int
    notes: tuple[Point, ...]
    operations: tuple[Operation, ...]
    error: str | None = None
    """What it raised, if it ended by that."""
    frames: tuple[str, ...] = ()
    """Where it raised that."""


class Participant:
    """Given to every part that runs in a child process: its name, history, clock, luck and ids."""

    def __init__(self, pipe: Connection, order: Order) -> None:
        self.name = order.name
        self.random = random.Random(f"{order.seed}/{order.name}")
        self.clock = VirtualClock(access=points.point)
        self.clock.is_moving = order.is_clock_moving
        self.history: History = _RemoteHistory(self)
        self._pipe, self._order = pipe, order
        self._now = 0
        self._notes: list[Point] = []
        self._is_over = False

    def uuid(self) -> uuid.UUID:
        """Give an id that nobody else gets in this schedule."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def count(self, is_return: bool) -> int:
        """Give the number of a call or a return."""
        if is_return:
            self._notes.append(RETURN)
        self._now += 1
        return self._now

    def play(self) -> None:
        """Play the order to its end, and report that."""
        raised: BaseException | None = None
        with points.installed(self._at_point):
            try:
                for part in self._order.parts:
                    refuse_unplayed(self.name, part(self))
            except Abandoned:
                pass
            except BaseException as error:
                raised = error
        self._pipe.send(self._report(None, raised))

    def _at_point(self, label: str, resource: Hashable, mode: str) -> None:
        if self._is_over:
            return
        self._pipe.send(self._report(Point(label, resource, mode), None))
        go: Go = self._pipe.recv()
        if go.is_over:
            self._is_over = True
            raise Abandoned
        self._now = go.now
        self.clock.show_us(go.clock_us)

    def _report(self, point: Point | None, error: BaseException | None) -> Report:
        notes, self._notes = tuple(self._notes), []
        report = Report(point, self._now, notes, self.history.operations)
        if error is None:
            return report
        return evolve(report, error=f"{type(error).__name__}: {error}", frames=last_frames(error))


class _RemoteHistory(History):
    def __init__(self, participant: Participant) -> None:
        super().__init__(self._tell, instants=participant.clock.peek_us)
        self._participant = participant
        self._is_calling = False

    def record(self, client: str, name: str, /, **args: Any) -> Recording:
        """Give a block for one call, and wait for one's turn to begin it."""
        points.point(name, OPERATIONS, "call")  # type: ignore[arg-type]
        self._is_calling = True
        return super().record(client, name, **args)

    def _tell(self) -> int:
        was_calling, self._is_calling = self._is_calling, False
        return self._participant.count(is_return=not was_calling)


def serve(pipe: Connection) -> None:
    """Play one order after the other, until told to stop or the parent is gone."""
    try:
        while (order := pipe.recv()) is not None:
            Participant(pipe, order).play()
    except (EOFError, OSError, KeyboardInterrupt):
        return


def operations_of(reports: Sequence[Report | None]) -> list[Operation]:
    """Give everything that was recorded, by the last report of each child."""
    return [operation for report in reports if report is not None for operation in report.operations]
