"""Cursors: they go on exactly where a page ended, and only ours are taken."""

import pytest

from sessionguard.core.paging import from_cursor, newest_first, to_cursor
from sessionguard.errors import InvalidArgumentError
from tests.core.making import record


def test_cursor_leads_back_to_the_record() -> None:
    """What a cursor says is the sort key of the record that ended the page."""
    assert from_cursor(to_cursor(record())) == newest_first(record())


def test_newest_comes_first_and_ties_are_ordered() -> None:
    """Records of one instant have an order too, so none falls between two pages."""
    records = [record(created_us=2, id="b"), record(created_us=1, id="c"), record(created_us=2, id="a")]
    assert [(each.created_us, each.id) for each in sorted(records, key=newest_first)] == [(2, "a"), (2, "b"), (1, "c")]


@pytest.mark.parametrize("cursor", ["", "x", "1", ".a", "-1.a", "1e3.a", "a.b"])
def test_other_text_is_no_cursor(cursor: str) -> None:
    """A cursor that was changed is refused, not guessed at."""
    with pytest.raises(InvalidArgumentError, match="cursor"):
        from_cursor(cursor)
