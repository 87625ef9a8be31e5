"""The step that moves the clock, beside other callers."""

from typing import Any

from attrs import frozen

from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.steps.step import Step
from sessionguard.testing.machines.world import World


@frozen(kw_only=True)
class MovesClock(Step):
    """Moves the clock, which changes nothing by itself: each call is judged by what the clock showed to it."""

    by_us: int

    def ask(self, hand: Hand, about: Any) -> Any:
        hand.place.clock.show_us(hand.now_us + self.by_us)

    def judge(self, world: World, told: Told) -> World:
        return world
