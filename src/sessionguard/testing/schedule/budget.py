"""How much a search may cost."""

import time
from collections.abc import Callable

from attrs import frozen


@frozen
class Budget:
    """The search ends with whatever comes first."""

    schedules: int = 2000
    seconds: float = 10.0


class Meter:
    """What is left of a budget."""

    def __init__(self, budget: Budget, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.schedules = 0
        """How many were run."""
        self._budget, self._monotonic = budget, monotonic
        self._began = monotonic()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._monotonic() - self._began

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.schedules >= self._budget.schedules or self.seconds >= self._budget.seconds

    def part(self, share: float, most_schedules: int | None = None) -> "Meter":
        """Give a meter for that share of what is left; what it counts is counted here, too."""
        schedules = self._budget.schedules - self.schedules
        left = Budget(
            max(1, int(min(schedules, schedules if most_schedules is None else most_schedules) * share)),
            max(0.0, (self._budget.seconds - self.seconds) * share),
        )
        return _Part(left, self._monotonic, self)

    def count(self) -> None:
        """Count one schedule."""
        self.schedules += 1


class _Part(Meter):
    def __init__(self, budget: Budget, monotonic: Callable[[], float], whole: Meter) -> None:
        super().__init__(budget, monotonic)
        self._whole = whole

    @property
    def is_spent(self) -> bool:
        return super().is_spent or self._whole.is_spent

    def count(self) -> None:
        super().count()
        self._whole.count()
