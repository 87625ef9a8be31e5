"""Generations only grow: what cannot come after what was seen tells that the store went back behind it."""

import pytest

from sessionguard.core.losing import Mark, Marks, lost_session
from sessionguard.core.records import SessionRecord
from tests.core.making import record


def in_slot(generation: int, session_id: str = "aa" + "0" * 32) -> SessionRecord:
    """Give the exclusive record of the one slot of these tests."""
    return record(id=session_id, exclusive=True, generation=generation)


NEWER = "aa" + "1" * 32


@pytest.mark.parametrize(
    "before, found, lost",
    [
        (None, in_slot(5), None),
        ((4, NEWER), in_slot(5), None),
        ((5, in_slot(5).id), in_slot(5), None),
        ((5, NEWER), in_slot(5), NEWER),
        ((6, NEWER), in_slot(5), NEWER),
        ((6, NEWER), record(exclusive=False, generation=1), None),
    ],
)
def test_a_session_is_lost_if_an_older_one_answers(before: Mark | None, found: SessionRecord, lost: str | None) -> None:
    """An older generation, or another session with the same one, means that the newer one is gone."""
    assert lost_session(before, found) == lost


def test_marks_keep_the_newest_whatever_order_replies_come_in() -> None:
    """A reply that comes late does not take the mark back; forgetting a slot begins anew."""
    marks = Marks()
    late, early = in_slot(3), in_slot(4, NEWER)
    slot = (late.scope, late.owner, late.external_id)
    assert marks.seen(slot) is None
    marks.note(early)
    marks.note(late)
    assert marks.seen(slot) == (4, NEWER)
    marks.forget(slot)
    marks.note(late)
    assert marks.seen(slot) == (3, late.id)


def test_marks_are_bounded() -> None:
    """Any number of slots takes bounded memory; the latest are remembered."""
    marks = Marks()
    for number in range(5000):
        marks.note(record(owner=f"owner {number}", exclusive=True))
    assert marks.seen(("default", "owner 4999", None)) or marks.seen((record().scope, "owner 4999", None))
    assert marks.seen((record().scope, "owner 0", None)) is None
