"""Stops: the numbered places of an operation at which something is done to it, and where they come from.

* `declared`: the points that code declares (`sessionguard.core.points`);
* `io`: every call of this interpreter that changes a file, a lock, a socket or an SQLite database; or, as
  `io:<module>,...`, every such call by these modules and the modules below them;
* `calls:<module>,...`: every call of anything that is written in C, by them;
* `lines:<module>,...`: every line of theirs, and what they declare.

All but the first see Python: a driver written in C is one stop, or none.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import FrameType
from typing import Any, Final

from attrs import frozen

from sessionguard.core import points
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.schedule.lines import Lines

DECLARED: Final = "declared"
IO: Final = "io"
_CALLS: Final = "calls"
_LINES: Final = "lines"
END: Final = "end"
"""The label of the last stop of every operation: it has returned, and nothing came after."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FUNCTIONS: Final = _names(
    "open write writev pwrite pwritev fsync fdatasync rename replace link symlink unlink remove mkdir rmdir "
    "truncate ftruncate posix_fallocate chmod fchmod sendfile copy_file_range flock lockf"
)
_METHODS: Final = {
    "_io": _names("write writelines flush close truncate __exit__"),
    "_socket": _names("connect connect_ex send sendall sendmsg recv recv_into recvmsg close shutdown"),
    "_ssl": _names("read write shutdown do_handshake"),
    "sqlite3": _names("execute executemany executescript commit rollback close __exit__"),
}
_HARNESS: Final = str(Path(__file__).parents[1])
"""What the harness itself writes, such as journals, is no part of the operation."""
_IN_MEMORY: Final = frozenset({"BytesIO", "StringIO"})


@frozen
class Stop:
    """One place in one run: its number, counted from 1, and what comes next there."""

    number: int
    label: str
    occurrence: int
    """Which of those with its label it is, counted from 1."""
    resource: str = ""
    is_after: bool = False
    """Whether it comes after what the label says, and not before."""
    is_end: bool = False
    """Whether nothing comes after it any more; a point may have the label of the end, too."""

    @property
    def id(self) -> str:
        """The text by which it is found again, also after changes elsewhere: label and occurrence."""
        return f"{self.label}#{self.occurrence}"

    def __str__(self) -> str:
        if self.is_end:
            return f"stop {self.number} (after its end)"
        side = "after" if self.is_after else "before"
        return f"stop {self.number} ({side} {self.id}{self.resource and f' {self.resource}'})"


OnStop = Callable[[Stop], None]


class Stops:
    """Counts the stops of one run and tells of each, before what comes next there.

    With `for_interrupts` those of other threads do not count, and a call is a stop when it has returned: that is where
    the interpreter looks for signals.
    """

    def __init__(self, source: str, on_stop: OnStop, *, for_interrupts: bool = False) -> None:
        check_source(source)
        self._on_stop = on_stop
        self._thread = threading.get_ident() if for_interrupts else None
        self._event = "c_return" if for_interrupts else "c_call"
        self._kind, _, modules = source.partition(":")
        self._modules = modules.split(",") if modules else []
        self._files: frozenset[str] = frozenset()
        self._mutex = threading.Lock()
        self._labels: Counter[str] = Counter()
        self._ignore_points: Callable[[], None] = lambda: None
        self._is_closed = False
        self.count = 0

    def play(self, body: Callable[[], Any]) -> Any:
        """Give what `body()` returns; its stops are counted in this thread and in those that it starts."""
        if self._kind == _LINES:
            return self._play_lines(body)
        if self._kind == DECLARED:
            with self._declared():
                return body()
        self._files = files_below(tuple(self._modules))
        return self._play_calls(body)

    def end(self) -> None:
        """It has returned: that is the last stop."""
        self.reach(END, is_end=True)

    def close(self) -> None:
        """Count nothing any more, and let nobody notice that it was watched, though what was played may go on."""
        self._is_closed = True
        self._ignore_points()

    def reach(self, label: str, resource: Hashable = "", *, is_after: bool = False, is_end: bool = False) -> None:
        """It has come to its next stop."""
        if self._is_closed or self._thread not in (None, threading.get_ident()):
            return
        with self._mutex:
            self.count += 1
            self._labels[label] += 1
            stop = Stop(self.count, label, self._labels[label], str(resource), is_after, is_end)
        # Outside: another thread may come to a stop while this one is dealt with.
        self._on_stop(stop)

    # Declared points

    @contextmanager
    def _declared(self) -> Iterator[None]:
        with points.installed(self._at_point, self._at_async_point) as self._ignore_points:
            yield

    def _at_point(self, label: str, resource: Hashable, mode: str) -> None:
        self.reach(label, resource)

    async def _at_async_point(self, label: str, resource: Hashable, mode: str) -> None:
        self.reach(label, resource)

    # Lines

    def _play_lines(self, body: Callable[[], Any]) -> Any:
        lines = Lines(modules_below(self._modules))
        results: list[Any] = []
        with self._declared(), lines.watching():
            lines.around(lambda: results.append(body()))()
        return results[0]

    # Calls

    def _play_calls(self, body: Callable[[], Any]) -> Any:
        before, before_in_threads = sys.getprofile(), threading.getprofile()
        # Only where they count: what hangs would leave the watching to every thread that anybody starts later.
        if self._thread is None:
            threading.setprofile(self._at_event)
        sys.setprofile(self._at_event)
        try:
            return body()
        finally:
            sys.setprofile(before)
            if self._thread is None:
                threading.setprofile(before_in_threads)

    def _at_event(self, frame: FrameType, event: str, called: Any) -> None:
        if event != self._event:
            return
        file = frame.f_code.co_filename
        if file.startswith(_HARNESS) or (self._files and file not in self._files):
            return
        if self._kind == _CALLS or reaches_out(called):
            where = f"({frame.f_code.co_qualname}:{frame.f_lineno})"
            label = "close" if called.__name__ == "__exit__" else called.__name__
            self.reach(label, where, is_after=event == "c_return")


def reaches_out(function: Any) -> bool:
    """Whether a function written in C changes, when called, something that other processes see."""
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", "")
    if owner is None or isinstance(owner, type(sys)):
        return name in _FUNCTIONS and getattr(function, "__module__", "") in ("posix", "nt", "fcntl", "_io", "io")
    kind = type(owner)
    if kind.__name__ in _IN_MEMORY:
        return False
    return any(name in names for base in kind.__mro__ if (names := _METHODS.get(base.__module__)))


def prepare_source(source: str) -> None:
    """Import what `source` names, which takes its time once, and not that of the operation."""
    kind, _, modules = source.partition(":")
    if kind in (IO, _CALLS) and modules:
        files_below(tuple(modules.split(",")))


def check_source(source: str, *, for_interrupts: bool = False) -> None:
    """Raise `InvalidArgumentError` if there is no such source of stops."""
    kind, _, modules = source.partition(":")
    if for_interrupts and kind == _LINES:
        remedy = "no signal interrupts between two lines, but after calls: use calls:<module>, io or declared"
        raise InvalidArgumentError("stops", source, remedy)
    if source not in (DECLARED, IO) and not (kind in (IO, _CALLS, _LINES) and modules):
        remedy = "use declared, io, io:<module>,<module>, calls:<module>,<module> or lines:<module>,<module>"
        raise InvalidArgumentError("stops", source, remedy)


@cache
def files_below(names: tuple[str, ...]) -> frozenset[str]:
    """Give the files of the modules of these names and below them; only the first time they are looked for."""
    return frozenset(str(sys.modules[name].__file__) for name in modules_below(list(names)))


def modules_below(names: list[str]) -> list[str]:
    """Give the imported modules of these names and below them that have a file.

    Each named one is imported first, and with a package all that lies in it: else what it imports late is not seen.
    """
    for name in names:
        package = import_module(name)
        for found in walk_packages(getattr(package, "__path__", ()), f"{name}."):
            with suppress(ImportError):
                import_module(found.name)
    return [
        module
        for module, loaded in sorted(sys.modules.items())
        if any(module == name or module.startswith(f"{name}.") for name in names)
        and str(getattr(loaded, "__file__", None) or "").endswith(".py")
    ]
