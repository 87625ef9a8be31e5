"""What keeps a search from meaning anything."""

from collections.abc import Sequence

from sessionguard.testing.schedule.accesses import Point


class NondeterministicScenario(RuntimeError):
    """The same decisions led to different points, so a schedule cannot be repeated; the message names the first one.

    Take ids from `s.uuid()`, luck from `s.random` and time from `s.clock`, and start no threads or timers of your own.
    """

    def __init__(self, step: int, detail: str) -> None:
        self.step = step
        self.detail = detail
        super().__init__(
            f"the scenario does not do the same each time: at step {step + 1} {detail}; take ids from s.uuid(), "
            "luck from s.random and time from s.clock, and start no threads or timers"
        )

    def __reduce__(self) -> tuple[type["NondeterministicScenario"], tuple[int, str]]:
        return type(self), (self.step, self.detail)


class NotFollowedWarning(UserWarning):
    """A schedule that was to be repeated could not be followed to its end, so a test that passed shows nothing."""


def first_difference(
    step: int, names: Sequence[str], before: Sequence[Point | None], now: Sequence[Point | None]
) -> NondeterministicScenario:
    """Give the error for two runs that stand at different points before the same step."""
    for worker, (one, other) in enumerate(zip(before, now, strict=False)):
        if one != other:
            return NondeterministicScenario(
                step, f"worker {names[worker]} stood before {_told(one)} once, and before {_told(other)} now"
            )
    return NondeterministicScenario(step, f"there were {len(before)} workers once, and {len(now)} now")


def _told(point: Point | None) -> str:
    return "its end" if point is None else f"{point.label!r} on {point.resource!r} ({point.mode})"
