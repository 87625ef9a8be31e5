"""Real faults for tests: bad networks, cancelled tasks, killed and frozen processes, wrong clocks, full disks."""

from sessionguard.testing.faults.cancelling import CancelError, CancelPoint, CancelReport, cancel_everywhere
from sessionguard.testing.faults.children import ChildError, ChildProcess, at_once, play_all
from sessionguard.testing.faults.clock import WrongClock, wrong_clock
from sessionguard.testing.faults.crowd import in_children
from sessionguard.testing.faults.disk import SmallDisk, small_disk
from sessionguard.testing.faults.killing import killed_while
from sessionguard.testing.faults.proxy import TcpProxy

__all__ = [
    "CancelError",
    "CancelPoint",
    "CancelReport",
    "ChildError",
    "ChildProcess",
    "SmallDisk",
    "TcpProxy",
    "WrongClock",
    "at_once",
    "cancel_everywhere",
    "in_children",
    "killed_while",
    "play_all",
    "small_disk",
    "wrong_clock",
]
