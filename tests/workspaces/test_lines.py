"""A line kept in a file: whatever interrupts the writing of the next one, there is always a whole one."""

import errno
import os
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionguard.workspaces.local.lines import LARGEST_TEXT_BYTES, read_line, write_line

texts = st.lists(st.integers(1, 40).map(lambda size: b"x" * size), min_size=1, max_size=5)


@given(texts=texts, rest=st.binary(max_size=20))
def test_the_line_written_last_is_read(texts: list[bytes], rest: bytes) -> None:
    """However long those before were, and whatever was in the file at first; and the file does not grow with them."""
    with tempfile.TemporaryFile() as file:
        os.pwrite(file.fileno(), rest, 0)
        for text in texts:
            write_line(file.fileno(), text)
            assert read_line(file.fileno()) == text
        assert os.fstat(file.fileno()).st_size <= max(20, 3 * (max(map(len, texts)) + 12))


@given(texts=texts)
def test_a_write_that_ends_anywhere_leaves_the_former_line(texts: list[bytes]) -> None:
    """Told or not, as after a kill: so much of it is on the disk and no more, in front of the former or behind it."""
    real = os.pwrite
    with tempfile.TemporaryFile() as file:
        for former, text in zip([None, *texts], texts, strict=False):
            sizes = [0]

            def full(descriptor: int, data: bytes, place: int, sizes: list[int] = sizes) -> int:
                if not sizes[0]:
                    raise OSError(errno.ENOSPC, "No space left on device")
                written, sizes[0] = real(descriptor, data[: sizes[0]], place), 0
                return written

            for size in range(len(text) + 11):
                sizes[0] = size
                with mock.patch.object(os, "pwrite", full), pytest.raises(OSError, match="No space left"):
                    write_line(file.fileno(), text)
                # The rest may have stood there already; and without a whole check nothing is taken for the new one.
                assert read_line(file.fileno()) in ((former, text) if size > 8 else (former,))
            write_line(file.fileno(), text)


def test_a_line_of_two_is_none(tmp_path: Path) -> None:
    """What is damaged inside, or joined from two lines, is not believed."""
    with (tmp_path / "line").open("w+b") as file:
        write_line(file.fileno(), b"one")
        os.pwrite(file.fileno(), b"t", 12)
        assert read_line(file.fileno()) is None
        write_line(file.fileno(), b"two")
        assert read_line(file.fileno()) == b"two"


def test_what_could_not_be_found_again_is_not_written(tmp_path: Path) -> None:
    """A line that is too long is refused, and the former stays."""
    with (tmp_path / "line").open("w+b") as file:
        write_line(file.fileno(), b"one")
        with pytest.raises(ValueError, match="could not be found again"):
            write_line(file.fileno(), b"x" * (LARGEST_TEXT_BYTES + 1))
        assert read_line(file.fileno()) == b"one"
        for digit in b"123":
            write_line(file.fileno(), bytes([digit]) * LARGEST_TEXT_BYTES)
            assert read_line(file.fileno()) == bytes([digit]) * LARGEST_TEXT_BYTES
