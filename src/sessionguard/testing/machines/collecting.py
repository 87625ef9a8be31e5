"""How a machine becomes a test: the class that pytest and unittest collect, and the run of its traces."""

import unittest
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from sessionguard.testing.machines.counts import machine_settings
from sessionguard.testing.machines.shortening import Shortening

if TYPE_CHECKING:
    from sessionguard.testing.machines.machine import SessionGuardMachine

    Machine = type[SessionGuardMachine]


class MachineTestCase(unittest.TestCase):
    """What the `TestCase` of a machine is."""

    settings: ClassVar[settings]
    """How much it does; by default the counts of the profile that the run was started with."""

    def runTest(self) -> None:  # the name that unittest looks for
        """Play traces."""
        raise NotImplementedError


class AsTestCase:
    """The `TestCase` of whatever machine is asked."""

    def __get__(self, machine: object, kind: "Machine") -> type[MachineTestCase]:
        return _test_case(kind)


def play_machine(machine: "Machine", settings: settings) -> None:
    """Play traces; raises with the shortest one that goes wrong, as far as there was time to look for it."""
    machine.shortening = Shortening(machine.shrink_seconds)
    try:
        run_state_machine_as_test(machine, settings=settings)
    finally:
        machine.shortening = None


@cache
def _test_case(machine: "Machine") -> type[MachineTestCase]:
    class MachineTest(MachineTestCase):
        settings = machine_settings()

        def runTest(self) -> None:
            play_machine(machine, self.settings)

        runTest.is_hypothesis_test = True  # type: ignore[attr-defined]  # then its plugin shows the trace that fails

    MachineTest.__name__ = MachineTest.__qualname__ = f"{machine.__name__}.TestCase"
    MachineTest.__module__ = machine.__module__
    return MachineTest
