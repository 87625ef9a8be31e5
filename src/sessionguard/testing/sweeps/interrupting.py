"""The blocking twin of the cancel sweep: an exception is raised in the thread at every stop of an operation.

That is what a worker that is told to stop, a timeout by a signal, or Ctrl-C does to a blocking call.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import field, frozen

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.testing.faults.cancelling import LIMIT, NOT_THE_SAME, PATIENCE_SECONDS, TRIES
from sessionguard.testing.history import History, require_legal
from sessionguard.testing.history.checking import AnyModel
from sessionguard.testing.repetition import repetition
from sessionguard.testing.sweeps.errors import SweepError
from sessionguard.testing.sweeps.hands import Hand
from sessionguard.testing.sweeps.leaks import Leaks
from sessionguard.testing.sweeps.others import Other, checked
from sessionguard.testing.sweeps.stops import DECLARED, Stop, Stops, check_source, prepare_source

__tracebackhide__ = True

SETTLE_SECONDS: Final = 2.0


class Interruption(BaseException):
    """What is raised in the thread; like `SystemExit` it is no `Exception`, so that no handler of errors stops it."""


@frozen
class InterruptPoint:
    """Where a run was interrupted: at its stop `number`, and a second time `again` stops later."""

    number: int
    """0: at the stop that is called `name`, whichever number it has."""
    again: int = 0
    stop: Stop | None = field(default=None, eq=False)
    name: str = field(default="", eq=False)
    """Label and occurrence, if it is asked for by these."""

    @property
    def id(self) -> str:
        """The text by which exactly this point is asked for again, such as `raise@send#2` or `raise@send#2+1`."""
        name = self.stop.id if self.stop is not None else self.name or str(self.number)
        return f"raise@{name}" + (f"+{self.again}" if self.again else "")

    @classmethod
    def parse(cls, text: str) -> "InterruptPoint":
        """Give the point of an id. Raises `InvalidArgumentError` if it is none."""
        found = _ID.fullmatch(text)
        if found is None:
            remedy = "give the id that a report printed, such as raise@send#2 or raise@send#2+1, or a number: raise@3"
            raise InvalidArgumentError("only", text, remedy)
        return cls(int(found["number"] or 0), int(found["again"] or 0), name=found["name"] or "")

    def is_at(self, stop: Stop) -> bool:
        """Whether it is this stop."""
        return stop.id == self.name if self.name else stop.number == self.number

    def __str__(self) -> str:
        again = f", and {self.again} stops later again" if self.again else ""
        return f"interrupted at {self.stop or f'stop {self.name or self.number}'}{again}"


_ID: Final = re.compile(r"raise@((?P<number>[1-9]\d*)|(?P<name>.+#[1-9]\d*))(\+(?P<again>[1-9]\d*))?", re.DOTALL)


@frozen
class InterruptReport:
    """How many runs were interrupted, and how many of them twice."""

    points: int
    pairs: int
    stops: tuple[Stop, ...]


def interrupt_sweep(
    operation: Callable[[], Any],
    others: Sequence[Other],
    *,
    prepare: Callable[[], Any] = lambda: None,
    stops: str = DECLARED,
    in_use: Callable[[], int] | None = None,
    history: History | None = None,
    model: AnyModel | None = None,
    check: Callable[[InterruptPoint], Any] = lambda point: None,
    refusals: tuple[type[BaseException], ...] = (),
    error: type[BaseException] = Interruption,
    descriptors: int | None = 0,
    patience_seconds: float = PATIENCE_SECONDS,
    settle_seconds: float = SETTLE_SECONDS,
    strict: bool = False,
    only: InterruptPoint | str | None = None,
) -> InterruptReport:
    """Raise `error` in `operation()` at each of its `stops`; after each, prove what `cancel_sweep` proves.

    The operation has a thread of its own, and the others are asked in another one, so that a lock that is still held is
    seen. It has to be the same each time: `prepare()` is called before every run, in the thread of the operation, and
    makes what it meets new. At declared points pairs are tried, too: interrupted again at each stop of its cleaning up.
    It has to end by `error`, or by one of the `refusals` it may make of it.

    Raises:
        SweepError: it never came to a stop, so that nothing was tried, or not to as many as in the first run, which
            nobody disturbs; it returned as if nothing had happened, raised something else, or was not over in time; or
            somebody was not answered in time.
        CrossedReplyError, LeakError, HistoryError, MisuseError: as by `cancel_sweep`.
    """
    check_source(stops, for_interrupts=True)
    prepare_source(stops)
    if (history is None) != (model is None):
        raise MisuseError("give both history and model, or neither")
    leaks = Leaks(in_use, settle_seconds, descriptors)

    def after(point: InterruptPoint) -> None:
        leaks.wait()
        if history is not None and model is not None:
            require_legal(history.linearizable(model), strict=strict)
        check(point)

    with Hand("interrupted") as hand, Hand("others") as asking:
        sweep = _Sweep(
            operation, prepare, stops, error, refusals, after, checked(others), hand, asking, patience_seconds
        )
        # Before every strike the others were asked, so before the first run, too; and its thread may need a connection.
        sweep.ask_others()
        sweep.ask_others(hand)
        count = sweep.play_unstruck()
        sweep.ask_others()
        leaks.remember()
        return sweep.play_only(only) if only is not None else sweep.play_all(count)


@frozen
class _Sweep:
    operation: Callable[[], Any]
    prepare: Callable[[], Any]
    source: str
    error: type[BaseException]
    refusals: tuple[type[BaseException], ...]
    after: Callable[[InterruptPoint], None]
    others: tuple[Other, ...]
    hand: Hand
    asking: Hand
    patience_seconds: float

    def play_only(self, only: InterruptPoint | str) -> InterruptReport:
        """Strike at one point."""
        point = InterruptPoint.parse(only) if isinstance(only, str) else only
        run = self.strike(point)
        if run.stop is None:
            raise SweepError(f"there is no point {point.id}: it was over before")
        return InterruptReport(1, 1 if run.is_hit_again else 0, (run.stop,))

    def play_unstruck(self) -> int:
        """Play it once and disturb nobody; give the number of its stops."""
        return self.strike(InterruptPoint(0)).count

    def play_all(self, most: int) -> InterruptReport:
        """Strike at every point, and at declared ones in pairs; it came to `most` of them before."""
        hit: list[Stop] = []
        pairs = 0
        while (stop := self._strike_surely(len(hit) + 1, most)) is not None:
            hit.append(stop)
            again = 1
            # An exception ends the watching by which calls are seen, so only declared points come again.
            while self.source == DECLARED and self.strike(InterruptPoint(len(hit), again)).is_hit_again:
                pairs, again = pairs + 1, again + 1
                _require_an_end(again)
            _require_an_end(len(hit))
        if not hit:
            raise SweepError('the operation came to no stop; use stops="io" or "calls:<module>", or declare points')
        return InterruptReport(len(hit), pairs, tuple(hit))

    def _strike_surely(self, number: int, most: int) -> Stop | None:
        for _ in range(TRIES):
            run = self.strike(InterruptPoint(number))
            if run.stop is not None or number > most:
                return run.stop
        raise SweepError(
            f"without any fault it came to {most} stops, and to {run.count} after it had been interrupted at stop "
            f"{number - 1}: {NOT_THE_SAME}"
        )

    def strike(self, point: InterruptPoint) -> "_Run":
        """Play the operation once, interrupt it there if it comes there, and check."""
        self.hand.play(self.prepare, self.patience_seconds)
        run = _Run(point, self.error)
        try:
            self._play(run)
            if run.stop is not None:
                self.ask_others()
                self.after(run.point)
        except Exception as error:
            if run.stop is not None:
                error.add_note(f"after it was {run.point}")
                error.add_note(repetition(run.point.id))
            raise
        return run

    def ask_others(self, hand: Hand | None = None) -> None:
        """Each of the others gets their answer, in time, in the thread for that or in another one."""
        for other in self.others:
            try:
                other.judge((hand or self.asking).play(other.ask, self.patience_seconds))
            except SweepError as error:
                raise SweepError(f"{other.name} was not answered: {error}") from error

    def _play(self, run: "_Run") -> None:
        try:
            self.hand.play(lambda: run.play(self.operation, self.source), self.patience_seconds)
        except SweepError:
            raise
        except BaseException as error:
            if run.stop is None:
                raise
            if not isinstance(error, (self.error, *self.refusals)):
                raise SweepError(f"{run.point}, it raised {type(error).__name__}: {error}") from error
        else:
            if run.stop is not None:
                raise SweepError(f"{run.point}, it returned as if nothing had happened")
        finally:
            # It may not be over: then its thread is left behind, but nothing that others come across.
            run.close()


def _require_an_end(count: int) -> None:
    if count >= LIMIT:
        raise SweepError(f"after {LIMIT} interruptions there is still another stop: it does not end")


class _Run:
    """One run of the operation, interrupted at its point if it comes there."""

    def __init__(self, point: InterruptPoint, error: type[BaseException]) -> None:
        self.point, self._error = point, error
        self._stops: Stops | None = None
        self.stop: Stop | None = None
        self.is_hit_again = False

    def play(self, operation: Callable[[], Any], source: str) -> Any:
        """Play it, in the thread that calls this."""
        self._stops = Stops(source, self._on_stop, for_interrupts=True)
        return self._stops.play(operation)

    @property
    def count(self) -> int:
        """To how many stops it came."""
        return self._stops.count if self._stops is not None else 0

    def close(self) -> None:
        """Watch no longer."""
        if self._stops is not None:
            self._stops.close()

    def _on_stop(self, stop: Stop) -> None:
        if self.stop is None and self.point.is_at(stop):
            self.stop = stop
            self.point = InterruptPoint(stop.number, self.point.again, stop)
            raise self._error(f"at {stop}")
        if self.point.again and stop.number == self.point.number + self.point.again:
            self.is_hit_again = True
            raise self._error(f"at {stop}")
