"""Files that tell when what was written leaves their buffer: half of a file can be read by others then."""

import io
from collections.abc import Callable
from typing import Any, Final

from sessionguard.testing.schedule.io.listening import Access, Mode, mine
from sessionguard.testing.schedule.io.paths import name_of, resource_of

_PLAIN: Final = frozenset("rwaxbt+")


def opened(
    real: Callable[..., Any],
    listener: Any,
    path: str,
    file: Any,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """Give the file as `open` gives it, of the same layers, of which the lowest tells."""
    is_text = "b" not in mode
    asks_amiss = not set(mode) <= _PLAIN or len(set(mode) & set("rwax")) != 1 or ("t" in mode and not is_text)
    if asks_amiss or buffering == 0 or (not is_text and (encoding or errors or newline)):
        return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
    raw = _ToldFile(path, file, mode.replace("b", "").replace("t", ""), closefd, opener)
    try:
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer: Any
        if "+" in mode:
            buffer = io.BufferedRandom(raw, size)
        elif "r" in mode:
            buffer = io.BufferedReader(raw, size)
        else:
            buffer = io.BufferedWriter(raw, size)
        if not is_text:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode  # type: ignore[misc]
        return text
    except BaseException:
        raw.close()
        raise


class _ToldFile(io.FileIO):
    """A file without a buffer. What is written is a point, what is read belongs to the step under way."""

    def __init__(self, path: str, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        super().__init__(file, mode, closefd, opener)
        self._path = path

    def write(self, data: Any, /) -> Any:
        """Write, and tell of it before."""
        self._tell("write", "w")
        return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        """Truncate, and tell of it before."""
        self._tell("truncate", "w")
        return super().truncate(size)

    def readinto(self, buffer: Any, /) -> Any:
        """Read, and tell of it."""
        self._tell("read", "r")
        return super().readinto(buffer)

    def readall(self) -> Any:
        """Read all, and tell of it."""
        self._tell("read", "r")
        return super().readall()

    def _tell(self, verb: str, mode: Mode) -> None:
        listener = mine()
        if listener is not None:
            access = Access(f"{verb} {name_of(self._path)}", [(resource_of(listener, self._path), mode)])
            (listener.reach if mode == "w" else listener.note)(access)
