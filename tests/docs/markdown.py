"""Reads the pages of the documentation: their code blocks, and what a comment before a block says about it.

`<!-- continues -->`    this Python block runs in the same process as the one before it
`<!-- file: app.py -->` this Python block is also saved under that name, beside the page's other files
`<!-- prints -->`       this text block is what the Python blocks before it print
`<!-- run -->`          the commands of this console block are run, and its output lines keep their shape
"""

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

from tests.architecture.source_tree import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\s*$")
_COMMENT = re.compile(r"^<!-- (continues|prints|run|file: ([\w./-]+)) -->$")


@frozen
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    """The line of its first line of text, counted from one."""
    language: str
    text: str
    remark: str | None = None
    file_name: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


@frozen
class Chain:
    """Python blocks that run one after the other in one process, and what they print if the page shows it."""

    blocks: list[Block] = field(factory=list)
    printed: list[Block] = field(factory=list)

    def __str__(self) -> str:
        return str(self.blocks[0])

    @property
    def source(self) -> str:
        """The program, every line where it stands in the page, so that a traceback points there."""
        lines: list[str] = []
        for block in self.blocks:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.text.splitlines()
        return "\n".join(lines) + "\n"


def blocks_of(page: Path, text: str | None = None) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    start, language, comment = None, "", None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if start is not None:
            if fence:
                body = "\n".join(lines[start:number])
                name = comment[2] if comment else None
                yield Block(page, start + 1, language, body, comment[1] if comment else None, name)
                start, comment = None, None
        elif fence:
            start, language = number + 1, fence[1]
        elif line.strip():
            comment = _COMMENT.match(line)


def chains_of(page: Path, text: str | None = None) -> list[Chain]:
    """Give the programs of a page."""
    chains: list[Chain] = []
    for block in blocks_of(page, text):
        if block.language == "python":
            if block.remark != "continues" or not chains:
                chains.append(Chain())
            chains[-1].blocks.append(block)
        elif block.remark == "prints":
            chains[-1].printed.append(block)
    return chains


def shape_of(output: str) -> list[str]:
    """Give the lines of an output without what differs from run to run: ids, numbers, times, widths of columns."""
    for pattern, replacement in (
        (r"sg1_[a-z0-9]+_[A-Za-z0-9_-]{45}", "TOKEN"),
        (r"\b[0-9a-f]{34}\b", "SESSION"),
        (r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,32}\b|\b[a-f]{8}\b", "HEX"),
        (r"\b(intact|overwritten|unreadable)\b", "FILES"),
        (r"\b[AB]/\d+", "WORKER"),
        (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4}", "DAY"),
        (r"\d+(\.\d+)*", "N"),
        (r"[ \t]+", " "),
        (r"\[ ", "["),
    ):
        output = re.sub(pattern, replacement, output)
    return [line.strip() for line in output.strip().splitlines()]
