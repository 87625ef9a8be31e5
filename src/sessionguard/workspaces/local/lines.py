"""One line of text kept in a file, always whole: a full disk, a damaged one or a kill in mid-write leaves the former.

A new line never goes over the one that counts: it goes in front of that where it fits, and else behind it. Each has a
number, one more than that before it, and a check over all of it, so that the last whole one is found again wherever it
is. What lies between and behind them are rests of older ones. So a file is at most three times as long as its longest
line, and lines that stay as they are need no further room: they can be written on a disk without a free byte.
"""

import os
import zlib
from collections.abc import Iterator
from typing import Final

from attrs import frozen

LARGEST_FILE_BYTES: Final = 16 * 1024 * 1024
LARGEST_TEXT_BYTES: Final = LARGEST_FILE_BYTES // 3 - 32
"""Number, check and end take the rest."""


@frozen
class _Line:
    number: int
    start: int
    end: int
    text: bytes


def read_line(descriptor: int) -> bytes | None:
    """Give the text that was written last as a whole; None if there is none."""
    last = _last_in(_content(descriptor))
    return None if last is None else last.text


def write_line(descriptor: int, text: bytes) -> None:
    """Keep `text`, which has no end of line in it, instead of what was kept.

    Raises:
        ValueError: it is larger than a text may be; what was kept still is.
        OSError: not all of it could be written; what was kept still is, unless the rest of `text` stood there already.
    """
    if len(text) > LARGEST_TEXT_BYTES:
        raise ValueError(f"a line of {len(text)} bytes could not be found again")
    last = _last_in(_content(descriptor))
    number, start, end = (0, 0, 0) if last is None else (last.number, last.start, last.end)
    line = _line(number + 1, text)
    _write_whole(descriptor, line, 0 if len(line) <= start else end)


def _line(number: int, text: bytes) -> bytes:
    numbered = b"%d %s" % (number, text)
    return b"%08x %s\n" % (zlib.crc32(numbered), numbered)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, min(LARGEST_FILE_BYTES, os.fstat(descriptor).st_size), 0)


def _last_in(content: bytes) -> _Line | None:
    return max(_lines(content), key=lambda line: line.number, default=None)


def _lines(content: bytes) -> Iterator[_Line]:
    start = 0
    while (end := content.find(b"\n", start) + 1) > 0:
        check, _, numbered = content[start : end - 1].partition(b" ")
        number, _, text = numbered.partition(b" ")
        if check == b"%08x" % zlib.crc32(numbered) and number.isdigit():
            yield _Line(int(number), start, end, text)
        start = end


def _write_whole(descriptor: int, line: bytes, place: int) -> None:
    done = 0
    # What has room only in part is written in part, and the next attempt says why.
    while done < len(line):
        done += os.pwrite(descriptor, line[done:], place + done)
