"""Parameters are sent as they are meant, or refused before anything is sent."""

from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.errors import InvalidArgumentError
from sessionguard.stores.postgres.exchanges import _all_sent
from sessionguard.testing.contracts.stage import Stage
from tests.stores.postgres.conftest import OpenStore


class Name(str):
    """Text of a type of its own, as enumerations and database layers give."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"something else"


def test_each_kind_is_sent_in_its_form() -> None:
    """Text and numbers as text, bytes as they are, and what is not there as NULL."""
    given = ["Zoë", "", Name("bo"), 0, -(2**62), True, False, b"\0\xff", None]
    assert _all_sent(given) == [
        "Zoë".encode(), b"", b"bo", b"0", b"-4611686018427387904", b"t", b"f", b"\0\xff", None,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["\0", "a\0b", Name("a\0b")])
def test_no_text_is_cut_short(text: str) -> None:
    """A NUL would end it on the way: one text could be taken for another that begins with it."""
    with pytest.raises(InvalidArgumentError, match="NUL"):
        _all_sent(["before", text])


@pytest.mark.parametrize("prepare", [True, False])
def test_a_nul_is_a_wrong_argument_and_no_outage(open_store: OpenStore, stage: Stage, prepare: bool) -> None:
    """Refused as such in both ways of asking, and the store works on."""
    store = open_store(prepare=prepare)
    known = store.create(stage.create()).record
    with pytest.raises(InvalidArgumentError, match="NUL"):
        store.get(c.Get("a\0b", None))
    assert store.get(stage.get(known)) == known
