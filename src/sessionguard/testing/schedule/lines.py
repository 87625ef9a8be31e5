"""Points at every line of named modules, for code that declares none.

Which line touches what is not known, so all of them count as one resource. That is fine-grained where a store is
written in Python, and blind inside its drivers; use it to see whether declared points are missing. From Python 3.12 on
the lines are told by `sys.monitoring`, before by `sys.settrace`, which displaces a debugger in the threads it is used
in.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import CodeType, FrameType
from typing import Any, Final

from sessionguard.core.points import point
from sessionguard.errors import MisuseError

_RESOURCE: Final = "(lines)"
Body = Callable[[], None]


class Lines:
    """The lines of some modules as points, in the threads of the workers."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._files = frozenset(_file_of(name) for name in modules)

    def watching(self) -> AbstractContextManager[None]:
        """Watch for the time of one schedule."""
        return self._monitored() if sys.version_info >= (3, 12) and self._files else nullcontext()

    def around(self, body: Body) -> Body:
        """Give `body` with its lines watched in the thread that calls it."""
        if sys.version_info >= (3, 12) or not self._files:
            return body

        def traced() -> None:
            before = sys.gettrace()
            sys.settrace(self._trace)
            try:
                body()
            finally:
                sys.settrace(before)

        return traced

    # Python 3.11

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._trace_lines if frame.f_code.co_filename in self._files else None

    def _trace_lines(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            _reach(frame.f_code, frame.f_lineno)
        return self._trace_lines

    # Python 3.12 and newer

    @contextmanager
    def _monitored(self) -> Iterator[None]:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
        tool = next((number for number in (4, 3, 5, 1, 2, 0) if monitoring.get_tool(number) is None), None)
        if tool is None:
            raise MisuseError("every tool of sys.monitoring is in use; turn a debugger, profiler or coverage off")
        monitoring.use_tool_id(tool, "sessionguard")
        try:
            monitoring.register_callback(tool, monitoring.events.LINE, self._told_line)
            monitoring.set_events(tool, monitoring.events.LINE)
            monitoring.restart_events()
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, monitoring.events.LINE, None)
            monitoring.free_tool_id(tool)

    def _told_line(self, code: CodeType, line: int) -> Any:
        if code.co_filename not in self._files:
            return sys.monitoring.DISABLE  # type: ignore[attr-defined, unused-ignore]
        _reach(code, line)
        return None


def _reach(code: CodeType, line: int) -> None:
    # By its place in its function: that survives changes elsewhere in the file.
    point(f"{code.co_qualname}+{line - code.co_firstlineno}", _RESOURCE, "w")


def _file_of(name: str) -> str:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None:
        raise MisuseError(f"module {name!r} is not imported, or has no file; import it before its lines are watched")
    return str(file)
