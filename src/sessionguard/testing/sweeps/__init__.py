"""Fault sweeps: one operation, broken off at every place where it can be, and all that must be true afterwards.

    await cancel_sweep(save_for_ana, others=[Other("bea", load_bea, "bea"), Other("cy", load_cy, "cy")])
    interrupt_sweep(save_for_ana, others=..., stops="declared")     # the same for a blocking client
    kill_sweep(write, survivor=read_and_write, stops="io")          # kill -9, and SIGSTOP for longer than the lease
    jump_sweep(load, survivor=load_again, jumps=[idle_timeout, -timedelta(hours=1)])
    fork_sweep(save, in_fork=load, survivor=load)

A failure names the place, its number, and the id by which exactly that one is repeated.
"""

from sessionguard.testing.sweeps.cancelling import cancel_sweep
from sessionguard.testing.sweeps.errors import SweepError
from sessionguard.testing.sweeps.interrupting import Interruption, InterruptPoint, InterruptReport, interrupt_sweep
from sessionguard.testing.sweeps.killing import fork_sweep, jump_sweep, kill_sweep
from sessionguard.testing.sweeps.leaks import LeakError
from sessionguard.testing.sweeps.orders import Ended, Run
from sessionguard.testing.sweeps.others import CrossedReplyError, Other
from sessionguard.testing.sweeps.stops import Stop
from sessionguard.testing.sweeps.striking import SweepReport

__all__ = [
    "CrossedReplyError",
    "Ended",
    "InterruptPoint",
    "InterruptReport",
    "Interruption",
    "LeakError",
    "Other",
    "Run",
    "Stop",
    "SweepError",
    "SweepReport",
    "cancel_sweep",
    "fork_sweep",
    "interrupt_sweep",
    "jump_sweep",
    "kill_sweep",
]
