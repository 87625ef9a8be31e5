"""Which frames of a stack are of the code under test, rather than of the standard library or of this harness."""

import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

_STANDARD: Final = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_INSTALLED: Final = ("site-packages", "dist-packages")
_HARNESS: Final = Path(__file__).parent
_PLANTED: Final = _HARNESS / "mutants"
"""The one part of this harness that is put to tests itself."""


def is_own(filename: str) -> bool:
    """Whether this file is of the code under test: its own, or of a library that it uses."""
    if filename.startswith("<frozen"):
        return False
    path = Path(filename)
    if path.is_relative_to(_HARNESS):
        return path.is_relative_to(_PLANTED)
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
