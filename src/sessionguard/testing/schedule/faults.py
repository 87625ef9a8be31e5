"""What happens to processes: killed, stopped and continued, at any place the strategy chooses."""

import signal
from typing import Final, Literal

from attrs import frozen

from sessionguard.testing.schedule.accesses import Point

Fault = Literal["kill", "stop", "continue"]
SIGNALS: Final[dict[Fault, signal.Signals]] = {
    "kill": signal.SIGKILL,
    "stop": signal.SIGSTOP,
    "continue": signal.SIGCONT,
}


@frozen
class FaultStep:
    """One signal to one process, as a part of an actor."""

    fault: Fault
    victim: str

    @property
    def point(self) -> Point:
        """The access that it is: nothing of the victim comes before and after it at will."""
        return Point(f"{self.fault} {self.victim}", life_of(self.victim), "w")


def life_of(worker: str) -> tuple[str, str]:
    """Give the resource that a process needs for every step, and that a signal changes."""
    return "(life)", worker
