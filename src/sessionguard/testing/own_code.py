"""Which frames of a stack are of the code under test, rather than of the standard library or of this harness."""

import asyncio
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

_STANDARD: Final = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_INSTALLED: Final = ("site-packages", "dist-packages")
_ASYNCIO: Final = Path(asyncio.__file__).parent
_HARNESS: Final = Path(__file__).parent
_PLANTED: Final = _HARNESS / "mutants"
"""The one part of this harness that is put to tests itself."""


def is_own(filename: str) -> bool:
    """Whether this file is of the code under test: its own, or of a library that it uses."""
    if filename.startswith("<frozen"):
        return False
    path = Path(filename)
    if _is_harness(path):
        return False
    # What is installed lies inside the folder of the standard library.
    return not any(path.is_relative_to(folder) for folder in _STANDARD) or not set(_INSTALLED).isdisjoint(path.parts)


def innermost(frames: Sequence[FrameType]) -> FrameType | None:
    """Give the last of these that is of the code under test, or, if none is, the last one; None of nothing."""
    own = [frame for frame in frames if is_own(frame.f_code.co_filename)]
    if own:
        return own[-1]
    return frames[-1] if frames else None


def place_of(frame: FrameType) -> str:
    """Give the function of a frame, with file and line."""
    code = frame.f_code
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{frame.f_lineno})"


def within_part(trace: TracebackType | None) -> TracebackType | None:
    """Give a traceback without the frames of this harness that called the part which raised; all of it if none did."""
    inner = trace
    while inner is not None and _is_harness(Path(inner.tb_frame.f_code.co_filename)):
        inner = inner.tb_next
    return inner or trace


def without_asyncio(trace: TracebackType | None) -> TracebackType | None:
    """Give a traceback without the frames by which asyncio runs a task."""
    shown = []
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).parent != _ASYNCIO:
            shown.append(trace)
        trace = trace.tb_next
    left: TracebackType | None = None
    for each in reversed(shown):
        left = TracebackType(left, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return left


def _is_harness(path: Path) -> bool:
    return path.is_relative_to(_HARNESS) and not path.is_relative_to(_PLANTED)
