"""Cancels an async operation at each of its suspension points, one run for each, in every way a task is cancelled."""

import asyncio
import re
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from functools import partial
from inspect import isawaitable
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

from attrs import evolve, field, frozen

from sessionguard.errors import InvalidArgumentError

CancelWay = Literal["once", "twice", "late", "timeout", "sibling"]
CANCEL_WAYS: Final[tuple[CancelWay, ...]] = ("once", "twice", "late", "timeout", "sibling")
PATIENCE_SECONDS: Final = 30.0
LIMIT: Final = 10_000

MakeCoroutine = Callable[[], Coroutine[Any, Any, Any]]


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
    ways: tuple[CancelWay, ...] = CANCEL_WAYS,
    may_return: bool = False,
    patience_seconds: float = PATIENCE_SECONDS,
    only: CancelPoint | str | None = None,
) -> CancelReport:
    """Run `make_coroutine()` again and again, cancel it at its 1st, 2nd, ... suspension, and call `check` each time.

    An await counts as a suspension if it really waits. The last run of each way finds no further point and is not
    cancelled. The ways:

    * "once": `task.cancel()` while it waits;
    * "twice": so, and again at the 1st, 2nd, ... suspension of its cleaning up;
    * "late": after what it waited for has come, before it could go on;
    * "timeout": by `asyncio.timeout`;
    * "sibling": by a task group in which another task fails.

    With `may_return` it may also return after a cancellation, as if there had been none. Before Python 3.12 that is
    what `asyncio.wait_for` does when it is cancelled late. With `only`, a point or its id, nothing else is tried.

    Raises:
        CancelError: it never suspended, so that nothing was tried; there is no such point as `only`; or after a
            cancellation it returned as if nothing had happened, raised something else, or was not over within
            `patience_seconds`.
    """
    if isinstance(only, str):
        only = CancelPoint.parse(only)
    sweep = _Sweep(make_coroutine, check, may_return, patience_seconds)
    if only is not None:
        if not (await sweep.strike(only)).is_hit:
            raise CancelError(f"there is no point {only.id}: it was over before")
        return CancelReport({only.way: 1}, 1 if only.again else 0)
    for way in ways:
        await sweep.sweep(way)
    report = CancelReport(sweep.points, sweep.pairs)
    if not report.total:
        raise CancelError(
            "the operation never suspended, so nothing was cancelled; put a TcpProxy with a delay before it"
        )
    return report


class _Sweep:
    """All runs of one operation."""

    def __init__(
        self,
        make: MakeCoroutine,
        check: Callable[[CancelPoint], Awaitable[object] | object],
        may_return: bool,
        patience_seconds: float,
    ) -> None:
        self._make, self._check = make, check
        self._may_return, self._patience_seconds = may_return, patience_seconds
        self.points: dict[CancelWay, int] = {}
        self.pairs = 0

    async def sweep(self, way: CancelWay) -> None:
        """Strike at every point, in this way."""
        self.points[way] = 0
        while self.points[way] < LIMIT:
            number = self.points[way] + 1
            run = await self.strike(CancelPoint(way, number, 1 if way == "twice" else None))
            if not run.is_hit:
                return
            self.points[way] += 1
            again = 1
            while run.is_hit_again and again < LIMIT:
                self.pairs += 1
                again += 1
                run = await self.strike(CancelPoint(way, number, again))

    async def strike(self, point: CancelPoint) -> "_Run":
        """Play the operation once, cancel it at this point if it comes there, and check."""
        run = _Run(self._make, point)
        try:
            await _play(run, self._may_return, self._patience_seconds)
            if run.is_hit:
                await _check(self._check, run.point)
        except Exception as error:
            if run.is_hit:
                error.add_note(f"repeat only this one: only={point.id!r}")
            raise
        return run


async def _check(check: Callable[[CancelPoint], Awaitable[object] | object], point: CancelPoint) -> None:
    try:
        answer = check(point)
        if isawaitable(answer):
            await answer
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
        raise CancelError(f"{run.point}, it is still not over after {patience_seconds:g} s:\n{stack}")
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
        self._count = 0
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
        """Give the innermost function where it stands, with file and line; empty if that cannot be seen."""
        frames = self._frames()
        if not frames:
            return ""
        code = frames[-1].f_code
        return f"{code.co_qualname} ({Path(code.co_filename).name}:{frames[-1].f_lineno})"

    def _frames(self) -> list[FrameType]:
        frames, waiting = [], self._coroutine
        while (frame := getattr(waiting, "cr_frame", None)) is not None:
            frames.append(frame)
            waiting = getattr(waiting, "cr_await", None)
        return frames

    def _on_suspension(self, awaited: Any) -> None:
        self._count += 1
        if self._count == self.point.number:
            self.is_hit = True
            self.point = evolve(self.point, place=self.place())
            if self.point.way == "late" and asyncio.isfuture(awaited):
                # Called before the task hears of it: callbacks come in the order in which they were added.
                awaited.add_done_callback(lambda _: self.strike())
            else:
                self.strike_soon()
        elif self.point.again and self._count == self.point.number + self.point.again:
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
