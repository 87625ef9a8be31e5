"""A file in which every call stands before it is made, so that what a killed process had under way is not lost."""

import os
from collections.abc import Iterator
from pathlib import Path

from sessionguard.testing.history.jsonl import from_lines, to_lines
from sessionguard.testing.history.operations import Operation


class Journal:
    """Appends operations to a file: each once when it is called, as unknown, and once more when it has ended."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def write(self, operation: Operation) -> None:
        """Append one line in one write; it survives the death of this process, though not that of the machine."""
        [line] = to_lines([operation])
        # Opened each time: nothing to close, and nothing that a forked child would share.
        with open(self.path, "ab", buffering=0) as file:
            file.write(f"{line}\n".encode())


def read_journal(path: str | os.PathLike[str]) -> Iterator[Operation]:
    """Give the operations of a journal as far as they came; a last line that was cut short is passed over."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    latest: dict[tuple[int, int], Operation] = {}
    for operation in from_lines(lines[:-1]):
        latest[operation.instance, operation.index] = operation
    yield from latest.values()
