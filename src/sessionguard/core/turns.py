"""The turns of one runner: what one process of a fleet does for the others, and who that is."""

from typing import Final

from attrs import define, field

from sessionguard.core import events as e
from sessionguard.core import fleet as f
from sessionguard.core.driving import Flow, perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.setting import Setting

RUN: Final = "sweep"
"""The turn of whoever ends what has expired at this moment, in the background or by a command."""
RUN_SECONDS: Final = 30.0
"""A runner that was killed hinders others no longer than this; one that lives keeps its turn in time."""
LEAD: Final = "background sweeps"
"""The turn of the process whose passes in the background end sessions for the whole fleet."""


@define
class Turns:
    """Takes, keeps and gives back. Of a store that knows no turns, every turn is had at once."""

    _setting: Setting = field(alias="setting")
    _runner: str = field(init=False, default="")
    _had: dict[str, float] = field(init=False, factory=dict)
    """What was taken and not given back, and when it was last taken, in seconds that never go back."""

    def begin_anew(self) -> None:
        """Be another runner from now on: a forked child must not go on with its parent's turns."""
        self._runner, self._had = self._setting.mint.operation_id(), {}

    def take(self, name: str, seconds: float) -> Flow[bool]:
        """Take the turn, or keep it, for so long from now; False if it is another's."""
        if not self._setting.has_fleet:
            return True
        if not self._runner:
            self.begin_anew()
        asked_at = self._setting.monotonic()
        lease_us = int(seconds * 1_000_000)
        taken = yield from perform(f.TakeTurn(name, self._runner, self._setting.at(), lease_us))
        if taken is not Outcome.DONE:
            self._had.pop(name, None)
            return False
        self._had[name] = asked_at
        return True

    def keep(self, name: str, seconds: float) -> Flow[bool]:
        """Keep a turn that was taken for so long; the store is asked once a third of that is over."""
        taken_at = self._had.get(name)
        if taken_at is not None and self._setting.monotonic() - taken_at < seconds / 3:
            return True
        return (yield from self.take(name, seconds))

    def give(self, name: str) -> Flow[None]:
        """Give the turn back, if it was taken; a failure is told, for it lapses and what was done is done."""
        if self._had.pop(name, None) is None:
            return
        try:
            yield from perform(f.GiveTurn(name, self._runner, self._setting.at()))
        except Exception as error:
            self._setting.bus.publish(e.CleanupFailed(None, f"{type(error).__name__}: {error}"))

    def retire(self) -> Flow[None]:
        """Give back all that was taken, also by a pass that was interrupted, so that others go on at once."""
        for name in list(self._had):
            yield from self.give(name)
