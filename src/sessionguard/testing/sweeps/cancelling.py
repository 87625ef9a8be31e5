"""The cancel sweep: an async operation is cancelled at every await, and each time the same client serves two others."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from sessionguard.errors import MisuseError
from sessionguard.testing.faults.cancelling import (
    CANCEL_WAYS,
    PATIENCE_SECONDS,
    Cancellations,
    CancelPoint,
    CancelReport,
    CancelWay,
    MakeCoroutine,
    Prepare,
    awaited,
)
from sessionguard.testing.history import History, require_legal
from sessionguard.testing.history.checking import AnyModel
from sessionguard.testing.sweeps.errors import SweepError
from sessionguard.testing.sweeps.leaks import Leaks
from sessionguard.testing.sweeps.others import Other, checked

__tracebackhide__ = True

SETTLE_SECONDS: Final = 2.0


async def cancel_sweep(
    operation: MakeCoroutine,
    others: Sequence[Other],
    *,
    prepare: Prepare = lambda: None,
    in_use: Callable[[], int] | None = None,
    history: History | None = None,
    model: AnyModel | None = None,
    check: Callable[[CancelPoint], Any] = lambda point: None,
    ways: tuple[CancelWay, ...] = CANCEL_WAYS,
    may_return: bool = False,
    descriptors: int | None = 0,
    patience_seconds: float = PATIENCE_SECONDS,
    settle_seconds: float = SETTLE_SECONDS,
    strict: bool = False,
    only: CancelPoint | str | None = None,
) -> CancelReport:
    """Cancel `operation()` at each of its suspensions, in every way and in pairs; after each, prove that all is well.

    It has to be the same each time: `prepare()`, which may be async, is called before every run and makes what it meets
    new, such as a key that is not there yet. First the others are asked, it is played without a fault, and they are
    asked again; then, after each cancellation:

    * its task has ended as cancelled (`may_return`: see `cancel_everywhere`);
    * the others, asked one by one and then all at once, each get their own answer;
    * `in_use()`, such as the connections that are lent, the open descriptors of this process and the tasks of this loop
      are no more than before, within `settle_seconds`. So many `descriptors` may be added in the whole sweep, for a
      pool that fills up; None: they do not count;
    * `history`, in which the operation is recorded, is legal for `model`, with what was cancelled as unknown; with
      `strict`, a history too large to be judged is an error, too;
    * `check(point)`, which may be async, returns.

    Raises:
        CancelError: as by `cancel_everywhere`.
        CrossedReplyError: somebody got an answer that was not theirs.
        SweepError: somebody was not answered in time.
        LeakError, HistoryError: something was not given back; no order of the operations is legal.
        MisuseError: the others cannot show a mistake, or only one of history and model was given.

    Each has notes that name the point, and how to repeat exactly that one.
    """
    if (history is None) != (model is None):
        raise MisuseError("give both history and model, or neither")
    leaks = Leaks(in_use, settle_seconds, descriptors)
    aftermath = _Aftermath(checked(others), patience_seconds)

    async def after(point: CancelPoint) -> None:
        await aftermath.ask()
        await leaks.wait_async()
        if history is not None and model is not None:
            require_legal(history.linearizable(model), strict=strict)
        await awaited(check(point))

    sweep = Cancellations(operation, after, prepare, may_return, patience_seconds)
    # Before every strike the others were asked, so before the first run, too: a pool that fills up is no difference.
    await aftermath.ask()
    await sweep.play_unstruck()
    await aftermath.ask()
    leaks.remember(tasks=True)
    return await sweep.play(ways, only)


class _Aftermath:
    """Asks the others, one by one and at once, each within a time."""

    def __init__(self, others: tuple[Other, ...], patience_seconds: float) -> None:
        self._others, self._patience_seconds = others, patience_seconds

    async def ask(self) -> None:
        for other in self._others:
            other.judge(await self._answer(other))
        answers = await asyncio.gather(*map(self._answer, self._others))
        for other, answer in zip(self._others, answers, strict=True):
            other.judge(answer)

    async def _answer(self, other: Other) -> Any:
        try:
            async with asyncio.timeout(self._patience_seconds) as scope:
                return await other.ask_async()
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise SweepError(f"{other.name} was not answered within {self._patience_seconds:g} s") from error
