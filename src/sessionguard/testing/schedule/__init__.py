"""The scheduler of tests: races on demand, every schedule there is or the telling ones, shrunk and repeatable."""

from sessionguard.testing.schedule.budget import Budget
from sessionguard.testing.schedule.clock import VirtualClock
from sessionguard.testing.schedule.errors import NondeterministicScenario
from sessionguard.testing.schedule.execution import Execution
from sessionguard.testing.schedule.interleaver import Interleaver
from sessionguard.testing.schedule.outcome import Failure, Outcome
from sessionguard.testing.schedule.replay import ReplayId
from sessionguard.testing.schedule.scenario import Scenario
from sessionguard.testing.schedule.threads import Patience
from sessionguard.testing.schedule.violations import Violation

__all__ = [
    "Budget",
    "Execution",
    "Failure",
    "Interleaver",
    "NondeterministicScenario",
    "Outcome",
    "Patience",
    "ReplayId",
    "Scenario",
    "Violation",
    "VirtualClock",
]
