"""Cursors of listings: where a page ended, as opaque text."""

from sessionguard.core.records import SessionRecord
from sessionguard.errors import InvalidArgumentError


def newest_first(record: SessionRecord) -> tuple[int, str]:
    """Give the sort key that puts the newest record first and orders those of one instant by id."""
    return (-record.created_us, record.id)


def to_cursor(record: SessionRecord) -> str:
    """Give the cursor of a page that ends with `record`."""
    return f"{record.created_us}.{record.id}"


def from_cursor(cursor: str) -> tuple[int, str]:
    """Give the sort key of the record with which the former page ended."""
    created_us, separator, session_id = cursor.partition(".")
    if not separator or not created_us.isdigit():
        raise InvalidArgumentError("cursor", cursor, "pass the cursor of the former page unchanged")
    return (-int(created_us), session_id)
