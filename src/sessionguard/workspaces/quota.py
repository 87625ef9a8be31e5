"""How much a workspace may hold, and all of one owner together, and how much it holds."""

from typing import Final

from attrs import frozen


@frozen
class OwnerQuota:
    """What all workspaces of one owner may hold at most, together; None is no limit."""

    key: str
    """A hash of the owner: the same for all sessions of an owner in all scopes, and for no other owner."""
    bytes: int | None = None
    files: int | None = None


@frozen
class Quota:
    """What one workspace may hold at most; None is no limit."""

    bytes: int | None = None
    files: int | None = None
    owner: OwnerQuota | None = None
    """What limits it together with the other workspaces of its owner; None: nothing does."""


@frozen
class Usage:
    """What a workspace holds: sizes of files as a reader sees them, and their number."""

    bytes: int
    files: int


NOTHING: Final = Usage(bytes=0, files=0)
