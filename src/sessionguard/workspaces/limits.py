"""What an archive may hold to be unpacked, and what an export tells."""

from typing import Any, Final

from attrs import Attribute, field, frozen

from sessionguard.errors import InvalidArgumentError
from sessionguard.workspaces.names import MAX_COMPONENTS


def _check_positive(limits: "ArchiveLimits", attribute: "Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidArgumentError(f"ArchiveLimits.{attribute.name}", value, "give a number greater than 0")


@frozen(kw_only=True)
class ArchiveLimits:
    """What an archive may hold at most; one that says it holds more is refused before a byte of it is unpacked.

    The quota of the workspace holds besides.
    """

    files: int = field(default=10_000, validator=_check_positive)
    """Entries, directories included."""
    bytes: int = field(default=1024**3, validator=_check_positive)
    """All files together, unpacked."""
    ratio: float = field(default=200.0, validator=_check_positive)
    """Bytes unpacked for each byte packed, of all files together and of each that is larger than 1 MiB.

    Deflate reaches 1032 at most, on zeros; tables and maps stay below 50.
    """
    depth: int = field(default=MAX_COMPONENTS, validator=_check_positive)
    """Components of a name, before `into` is put in front of it."""


ARCHIVE_LIMITS: Final = ArchiveLimits()
"""What holds where nothing else is said."""


@frozen
class Exported:
    """What an export wrote."""

    names: tuple[str, ...]
    """The files in the archive, in its order."""
    bytes: int
    """Their bytes, unpacked."""
    missing: tuple[str, ...]
    """Files that were there when it began and were removed before their turn; they are not in the archive."""
