"""The fixtures of the sweeps: each sweep, with what the command line says."""

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, Final

import pytest
from attrs import field, frozen

from sessionguard.testing.faults import CancelReport
from sessionguard.testing.repetition import by_command_line
from sessionguard.testing.replaying import ReplayKind, replay_for
from sessionguard.testing.sweeps.cancelling import cancel_sweep
from sessionguard.testing.sweeps.interrupting import interrupt_sweep
from sessionguard.testing.sweeps.killing import fork_sweep, jump_sweep, kill_sweep

__tracebackhide__ = True

_SWEEPS: Final[dict[ReplayKind, Callable[..., Any]]] = {
    ReplayKind.INTERRUPT: interrupt_sweep,
    ReplayKind.KILL: kill_sweep,
    ReplayKind.JUMP: jump_sweep,
    ReplayKind.FORK: fork_sweep,
}


@frozen
class CancelSweep:
    """The fixture `cancel_sweep`: gives a coroutine, and fails the test that does not await it to its end."""

    settings: dict[str, Any]
    """What the command line says."""
    _asked: list[Coroutine[Any, Any, CancelReport]] = field(factory=list, init=False)
    _ended: list[int] = field(factory=list, init=False)
    """The numbers of those that came to their end, whichever it was."""

    def __call__(self, *arguments: Any, **settings: Any) -> Coroutine[Any, Any, CancelReport]:
        """Give what has to be awaited, as by `cancel_sweep`."""
        coroutine = self._play(len(self._asked), partial(cancel_sweep, *arguments, **self.settings | settings))
        self._asked.append(coroutine)
        return coroutine

    async def _play(self, number: int, sweep: Callable[[], Coroutine[Any, Any, CancelReport]]) -> CancelReport:
        try:
            with by_command_line():
                report = await sweep()
        except Exception:
            self._ended.append(number)
            raise
        self._ended.append(number)
        return report

    def finish(self) -> None:
        """Fail the test if a sweep was asked for and not played to its end: it has shown nothing."""
        __tracebackhide__ = True
        left = [coroutine for number, coroutine in enumerate(self._asked) if number not in self._ended]
        for coroutine in left:
            coroutine.close()  # Nobody need be told a second time that it was never awaited.
        if left:
            pytest.fail(
                f"{len(left)} of {len(self._asked)} calls of cancel_sweep did not come to the end, so nothing was "
                "cancelled there: write `await cancel_sweep(...)`, or `asyncio.run(cancel_sweep(...))` in a plain test",
                pytrace=False,
            )


def cancel_sweep_of(node: pytest.Item) -> CancelSweep:
    """Give the cancel sweep for a test."""
    return CancelSweep(_settings(node, ReplayKind.CANCEL))


def sweep_of(node: pytest.Item, name: str) -> Callable[..., Any]:
    """Give the sweep of that name for a test: strict at the deep profile, or only the place of a report.

    The id of another sweep, or of a race, is not followed, and the report of the test has a note of that.
    """
    kind = ReplayKind(name)
    return partial(_by_command_line(_SWEEPS[kind]), **_settings(node, kind))


def _settings(node: pytest.Item, kind: ReplayKind) -> dict[str, Any]:
    strict = node.config.getoption("--sg-profile") == "deep"
    return {"strict": strict, "only": replay_for(kind, node)}


def _by_command_line(sweep: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(sweep)
    def play(*arguments: Any, **settings: Any) -> Any:
        with by_command_line():
            return sweep(*arguments, **settings)

    return play
