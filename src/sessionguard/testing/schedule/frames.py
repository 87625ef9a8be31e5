"""Where an error came from: the last frames of its traceback as lines, also if it was raised in another process."""

import traceback
from itertools import dropwhile
from pathlib import Path
from typing import Final

_MOST: Final = 5
_HARNESS: Final = str(Path(__file__).parent)


class ProcessError(Exception):
    """What a worker raised in its process, or how that died."""

    def __init__(self, message: str, frames: tuple[str, ...] = ()) -> None:
        self.frames = frames
        """The last frames there, which do not come along with an error."""
        super().__init__(message)


def last_frames(error: BaseException) -> tuple[str, ...]:
    """Give the lines that a traceback has for the last frames, the innermost last; not for those that called the part.

    Empty if the error was raised by the call of the part itself, such as one with too few arguments.
    """
    if isinstance(error, ProcessError):
        return error.frames
    frames = dropwhile(_is_harness, traceback.extract_tb(error.__traceback__, limit=-_MOST))
    return tuple(line for frame in frames for line in _told(frame))


def _told(frame: traceback.FrameSummary) -> tuple[str, str]:
    return f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}', f"    {frame.line}"


def _is_harness(frame: traceback.FrameSummary) -> bool:
    return str(Path(frame.filename).parent) == _HARNESS
