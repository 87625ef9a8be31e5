"""How much a workspace may hold, and how much it holds."""

from typing import Final

from attrs import frozen


@frozen
class Quota:
    """What one workspace may hold at most; None is no limit."""

    bytes: int | None = None
    files: int | None = None


@frozen
class Usage:
    """What a workspace holds: sizes of files as a reader sees them, and their number."""

    bytes: int
    files: int


NOTHING: Final = Usage(bytes=0, files=0)
