"""Forked children that play one part each and say how it ended, within a time, whatever becomes of them."""

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Final

from attrs import define, evolve

from sessionguard.testing.own_code import within_part
from sessionguard.testing.sweeps.orders import Ended, name_of
from sessionguard.testing.sweeps.stops import Stop

Tell = Callable[[Stop | Ended], None]
Body = Callable[[Tell], Ended]

_SHOW_STACKS: Final = signal.SIGUSR2
_STACKS_SECONDS: Final = 0.5
_STACKS_PAUSE_SECONDS: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


@define
class Fork:
    """One child of this process, and the pipe on which it tells where it was struck and how it ended."""

    pid: int
    pipe: Connection
    stacks: IO[bytes]
    stop: Stop | None = None

    def wait(self, patience_seconds: float, *, until_stopped: bool = False) -> Ended:
        """Give how it ended, or, with `until_stopped`, that it was stopped; who is late is killed."""
        deadline = time.monotonic() + patience_seconds
        ended = None
        while ended is None:
            if not self.pipe.poll(max(0.0, deadline - time.monotonic())):
                return self._late()
            try:
                message = self.pipe.recv()
            except (EOFError, ConnectionError):
                return self._over(None)
            if isinstance(message, Ended):
                ended = message
            else:
                self.stop = message
                if until_stopped:
                    # It told this right before it stopped itself.
                    os.waitid(os.P_PID, self.pid, os.WSTOPPED)
                    return Ended("stopped", stop=self.stop)
        return self._over(ended)

    def wake(self) -> None:
        """Let it go on from where it was stopped."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it and forget it."""
        os.kill(self.pid, signal.SIGKILL)
        self._forget()

    def _over(self, ended: Ended | None) -> Ended:
        status = self._forget()
        if ended is not None:
            return evolve(ended, stop=self.stop)
        if self.stop is not None and status == -signal.SIGKILL:
            return Ended("killed", stop=self.stop)
        return Ended("died", error=f"exit code {status}", stop=self.stop)

    def _late(self) -> Ended:
        stacks = self._stacks_now()
        self.kill()
        return Ended("late", error=stacks, stop=self.stop)

    def _stacks_now(self) -> str:
        os.kill(self.pid, _SHOW_STACKS)
        deadline, size = time.monotonic() + _STACKS_SECONDS, -1
        while time.monotonic() < deadline and (size <= 0 or size != os.fstat(self.stacks.fileno()).st_size):
            size = os.fstat(self.stacks.fileno()).st_size
            time.sleep(_STACKS_PAUSE_SECONDS)
        self.stacks.seek(0)
        return self.stacks.read().decode(errors="replace")

    def _forget(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self.pipe.close()
        self.stacks.close()
        return os.waitstatus_to_exitcode(status)


def fork(body: Body) -> Fork:
    """Play `body(tell)` in a forked child, and give the child."""
    ours, theirs = Pipe(duplex=False)
    stacks = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the child is there
    parent = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return Fork(pid, ours, stacks)
    try:
        _die_with(parent)
        ours.close()
        faulthandler.register(_SHOW_STACKS, file=stacks, all_threads=True)
        _tell(theirs, body)
    finally:
        # Nothing of the parent is flushed, closed or unwound by its child.
        os._exit(0)


def _tell(pipe: Connection, body: Body) -> None:
    try:
        ended = body(pipe.send)
    except BaseException as error:
        ended = raised(error)
    try:
        pickle.dumps(ended.value)
    except Exception:
        ended = evolve(ended, value=repr(ended.value))
    pipe.send(ended)


def raised(error: BaseException) -> Ended:
    """Give the end of a part that raised."""
    names = tuple(name_of(kind) for kind in type(error).__mro__ if issubclass(kind, BaseException))
    shown = traceback.format_exception(type(error), error, within_part(error.__traceback__))
    return Ended("raised", error="".join(shown), errors=names)


def _die_with(parent: int) -> None:
    """Let this process be killed when its parent is gone: a stopped one would stay for ever."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
