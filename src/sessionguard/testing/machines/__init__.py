"""Property tests of a whole guard: a Hypothesis state machine that plays traces of calls against a plain model.

class MyGuard(SessionGuardMachine):
def make_guard(self, place):
return SessionGuard(MyStore(place.folder), place.workspaces, clock=place.clock, sweep_interval=None)

TestMyGuard = MyGuard.TestCase
"""

from sessionguard.testing.machines.counts import machine_settings
from sessionguard.testing.machines.machine import SessionGuardMachine
from sessionguard.testing.machines.place import Place
from sessionguard.testing.machines.play import TraceError
from sessionguard.testing.machines.running import run_guard_machine

__all__ = ["Place", "SessionGuardMachine", "TraceError", "machine_settings", "run_guard_machine"]
