"""Cancels an async operation at each of its suspension points, one run for each, in every way a task is cancelled."""

import asyncio
import re
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from functools import partial
from inspect import isawaitable
from types import FrameType
from typing import Any, Final, Literal

from attrs import evolve, field, frozen

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.testing.own_code import innermost, place_of
from sessionguard.testing.repetition import repetition

__tracebackhide__ = True

CancelWay = Literal["once", "twice", "late", "timeout", "sibling"]
CANCEL_WAYS: Final[tuple[CancelWay, ...]] = ("once", "twice", "late", "timeout", "sibling")
PATIENCE_SECONDS: Final = 30.0
LIMIT: Final = 10_000
"""A sweep that strikes so often in one way fails: what it strikes does not end."""
TRIES: Final = 5
"""How often a run that came to fewer places than another one is played before that counts: a network varies, too."""
NOT_THE_SAME: Final = (
    "so what is struck is not the same each time, and the rest of it was never struck; give prepare=, which makes what "
    "it meets new before every run, or, if only its first call does more, call it once before the sweep"
)

MakeCoroutine = Callable[[], Coroutine[Any, Any, Any]]
Prepare = Callable[[], Awaitable[object] | object]


class CancelError(AssertionError):
    """An operation did not do what a cancelled one has to do; the message says where it was cancelled, and how."""


@frozen
class CancelPoint:
    """Where a run was cancelled: at its suspension point `number`, counted from 1, in this way.

    `again` is the suspension of its cleaning up, counted from 1, at which it was cancelled a second time.
    """

    way: CancelWay
    number: int
    again: int | None = None
    place: str = field(default="", eq=False)
    """Where it stood then: function, file and line."""

    @property
    def id(self) -> str:
        """The text by which exactly this point is asked for again, such as `once@3` or `twice@3+1`."""
        return f"{self.way}@{self.number}" + (f"+{self.again}" if self.again else "")

    @classmethod
    def parse(cls, text: str) -> "CancelPoint":
        """Give the point of an id. Raises `InvalidArgumentError` if it is none."""
        found = _ID.fullmatch(text)
        if found is None:
            raise InvalidArgumentError("only", text, "give the id that a report printed, such as once@3 or twice@3+1")
        way: Any = found["way"]
        return cls(way, int(found["number"]), int(found["again"] or 1) if way == "twice" else None)

    def __str__(self) -> str:
        again = f", and at suspension {self.again} after that, if there is one" if self.again else ""
        place = f", in {self.place}" if self.place else ""
        return f"cancelled at suspension point {self.number} ({self.way}){again}{place}"


_ID: Final = re.compile(rf"(?P<way>{'|'.join(CANCEL_WAYS)})@(?P<number>[1-9]\d*)(\+(?P<again>[1-9]\d*))?")


@frozen
class CancelReport:
    """How many suspension points were hit in each way."""

    points: Mapping[CancelWay, int]
    pairs: int = 0
    """How many runs were cancelled a second time, while they cleaned up."""

    @property
    def total(self) -> int:
        """How many runs were cancelled, but for those that differ only in their second cancellation."""
        return sum(self.points.values())


async def cancel_everywhere(
    make_coroutine: MakeCoroutine,
    check: Callable[[CancelPoint], Awaitable[object] | object] = lambda point: None,
    *,
    prepare: Prepare = lambda: None,
    ways: tuple[CancelWay, ...] = CANCEL_WAYS,
    may_return: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
    only: CancelPoint | str | None = None,
) -> CancelReport:
    """Run `make_coroutine()` again and again, cancel it at its 1st, 2nd, ... suspension, and call `check` each time.

    It has to be the same each time: `prepare()`, which may be async, is called before every run and makes what it meets
    new. An await counts as a suspension if it really waits. They are counted in runs that nobody cancels; the last run
    of each way finds no further point and is not cancelled either. The ways:

    * "once": `task.cancel()` while it waits;
    * "twice": so, and again at the 1st, 2nd, ... suspension of its cleaning up;
    * "late": after what it waited for has come, before it could go on;
    * "timeout": by `asyncio.timeout`;
    * "sibling": by a task group in which another task fails.

    With `may_return` it may also return after a cancellation, as if there had been none. Before Python 3.12 that is
    what `asyncio.wait_for` does when it is cancelled late. With `only`, a point or its id, nothing else is tried.

    Raises:
        CancelError: it never suspended, so that nothing was tried; it did not come to as many suspensions each time, or
            to no last one; there is no such point as `only`; or after a cancellation it returned as if nothing had
            happened, raised something else, or was not over within `patience_seconds`.
        MisuseError: `ways` is empty, or names one twice.
    """
    sweep = Cancellations(make_coroutine, check, prepare, may_return, patience_seconds)
    if only is None:
        await sweep.play_unstruck()
    return await sweep.play(ways, only)


class Cancellations:
    """All runs of one operation."""

    def __init__(
        self,
        make: MakeCoroutine,
        check: Callable[[CancelPoint], Awaitable[object] | object],
        prepare: Prepare,
        may_return: bool,
        patience_seconds: float,
    ) -> None:
        self._make, self._check, self._prepare = make, check, prepare
        self._may_return, self._patience_seconds = may_return, patience_seconds
        self._most = 0
        """To how many suspensions it came, undisturbed."""
        self._points: dict[CancelWay, int] = {}
        self._pairs = 0

    async def play_unstruck(self) -> None:
        """Play it once and disturb nobody: to as many suspensions it has to come in each way."""
        self._most = (await self._strike(CancelPoint("once", 0))).count

    async def play(self, ways: tuple[CancelWay, ...], only: CancelPoint | str | None) -> CancelReport:
        """Strike at every point in each of these ways, or at one. Raises as `cancel_everywhere` says."""
        if not ways or len(set(ways)) < len(ways):
            raise MisuseError(
                f"give at least one way, and none twice: {ways!r} would strike nothing, or hide something"
            )
        if only is not None:
            return await self._play_only(CancelPoint.parse(only) if isinstance(only, str) else only)
        for way in ways:
            await self._sweep(way)
        report = CancelReport(self._points, self._pairs)
        if not report.total:
            raise CancelError(
                "the operation never suspended, so nothing was cancelled; put a TcpProxy with a delay before it"
            )
        return report

    async def _play_only(self, point: CancelPoint) -> CancelReport:
        if not (await self._strike(point)).is_hit:
            raise CancelError(f"there is no point {point.id}: it was over before")
        return CancelReport({point.way: 1}, 1 if point.again else 0)

    async def _sweep(self, way: CancelWay) -> None:
        """Strike at every point, in this way."""
        for number in range(1, LIMIT):
            run = await self._strike_surely(CancelPoint(way, number, 1 if way == "twice" else None))
            self._points[way] = number - 1
            if not run.is_hit:
                return
            again = 1
            while run.is_hit_again and again < LIMIT:
                self._pairs += 1
                again += 1
                run = await self._strike(CancelPoint(way, number, again))
            if again == LIMIT:
                break
        raise CancelError(f"after {LIMIT} cancellations ({way}) there is still another suspension: it does not end")

    async def _strike_surely(self, point: CancelPoint) -> "_Run":
        for _ in range(TRIES):
            run = await self._strike(point)
            if run.is_hit or point.number > self._most:
                return run
        raise CancelError(
            f"without any cancellation it came to {self._most} suspensions, and to {run.count} after it had been "
            f"cancelled at number {point.number - 1} ({point.way}): {NOT_THE_SAME}"
        )

    async def _strike(self, point: CancelPoint) -> "_Run":
        """Play the operation once, cancel it at this point if it comes there, and check."""
        await awaited(self._prepare())
        run = _Run(self._make, point)
        try:
            await _play(run, self._may_return, self._patience_seconds)
            if run.is_hit:
                await _check(self._check, run.point)
        except Exception as error:
            if run.is_hit:
                error.add_note(repetition(point.id))
            raise
        return run


async def awaited(answer: Awaitable[object] | object) -> None:
    """Return when what was called is over, which may have been async."""
    if isawaitable(answer):
        await answer


async def _check(check: Callable[[CancelPoint], Awaitable[object] | object], point: CancelPoint) -> None:
    try:
        await awaited(check(point))
    except Exception as error:
        error.add_note(f"after it was {point}")
        raise


async def _play(run: "_Run", may_return: bool, patience_seconds: float) -> None:
    """Play one run, and judge what it gave if it came as far as its point."""
    task = asyncio.create_task(_WAYS[run.point.way](run))
    done, _ = await asyncio.wait({task}, timeout=patience_seconds)
    if not done:
        stack = "".join(run.stack())
        task.cancel()
        await asyncio.wait({task}, timeout=patience_seconds)
        where = str(run.point) if run.is_hit else "without having been cancelled"
        raise CancelError(f"{where}, it is still not over after {patience_seconds:g} s:\n{stack}")
    if task.cancelled():
        return
    error = task.exception()
    if (run.has_swallowed or (error is None and run.is_hit)) and not may_return:
        raise CancelError(f"{run.point}, it returned as if nothing had happened")
    if error is None:
        return
    if not run.is_hit:
        raise error
    if not _is_cancellation(error, run.point.way):
        raise CancelError(f"{run.point}, it raised {type(error).__name__}: {error}") from error


def _is_cancellation(error: BaseException, way: CancelWay) -> bool:
    match way, error:
        case "timeout", TimeoutError():
            return isinstance(error.__cause__, asyncio.CancelledError)
        case "sibling", BaseExceptionGroup(exceptions=[_SiblingError()]):
            return True
    return False


class _SiblingError(Exception):
    pass


class _Run:
    """One run of the operation, watched at each of its suspensions."""

    def __init__(self, make_coroutine: MakeCoroutine, point: CancelPoint) -> None:
        self._make = make_coroutine
        self.point = point
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self.is_hit = False
        self.has_swallowed = False
        """Whether it returned although its task was cancelled: a group ends with the error of its failed one."""
        self.is_hit_again = False
        self.count = 0
        """To how many suspensions it came."""
        self.strike: Callable[[], object] = lambda: None
        """What cancels it at once; only for what runs outside of its task."""
        self.strike_soon: Callable[[], object] = lambda: None
        """What has it cancelled before anything else happens in the event loop."""

    async def play(self) -> None:
        """Await the operation, and strike at the point."""
        self._coroutine = self._make()
        await _Watched(self._coroutine, self._on_suspension)
        task = asyncio.current_task()
        assert task is not None
        self.has_swallowed = self.is_hit and task.cancelling() > 0

    def stack(self) -> list[str]:
        """Give the lines where it stands, as text."""
        return [line for frame in self._frames() for line in traceback.format_list(traceback.extract_stack(frame, 1))]

    def place(self) -> str:
        """Give the innermost function of the code under test where it stands, with file and line; empty if unseen."""
        frame = innermost(self._frames())
        return "" if frame is None else place_of(frame)

    def _frames(self) -> list[FrameType]:
        frames, waiting = [], self._coroutine
        while (frame := getattr(waiting, "cr_frame", None)) is not None:
            frames.append(frame)
            waiting = getattr(waiting, "cr_await", None)
        return frames

    def _on_suspension(self, awaited: Any) -> None:
        self.count += 1
        if self.count == self.point.number:
            self.is_hit = True
            self.point = evolve(self.point, place=self.place())
            if self.point.way == "late" and asyncio.isfuture(awaited):
                # Called before the task hears of it: callbacks come in the order in which they were added.
                awaited.add_done_callback(lambda _: self.strike())
            else:
                self.strike_soon()
        elif self.point.again and self.count == self.point.number + self.point.again:
            self.is_hit_again = True
            self.strike_soon()


class _Watched:
    """Awaits a coroutine and tells of each of its suspensions, with what it waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], on_suspension: Callable[[Any], None]) -> None:
        self._coroutine = coroutine
        self._on_suspension = on_suspension

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine, error = self._coroutine, None
        while True:
            try:
                awaited = coroutine.send(None) if error is None else coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            self._on_suspension(awaited)
            error = None
            try:
                yield awaited
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as thrown:
                error = thrown


async def _by_cancel(run: _Run) -> None:
    task = asyncio.current_task()
    assert task is not None
    run.strike = task.cancel
    run.strike_soon = partial(asyncio.get_running_loop().call_soon, task.cancel)
    await run.play()


async def _by_timeout(run: _Run) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        run.strike_soon = lambda: scope.reschedule(loop.time())
        await run.play()


async def _by_sibling(run: _Run) -> None:
    over = asyncio.Event()

    async def sibling() -> None:
        await over.wait()
        if run.is_hit:
            raise _SiblingError

    run.strike_soon = over.set
    async with asyncio.TaskGroup() as group:
        group.create_task(sibling())
        await group.create_task(run.play())
        over.set()


_WAYS: Final[Mapping[CancelWay, Callable[[_Run], Coroutine[Any, Any, None]]]] = {
    "once": _by_cancel,
    "twice": _by_cancel,
    "late": _by_cancel,
    "timeout": _by_timeout,
    "sibling": _by_sibling,
}
