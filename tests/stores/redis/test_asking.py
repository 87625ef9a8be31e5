"""What goes over the wire for a command: what the driver would send, whatever the words are."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from redis.connection import Connection

from sessionguard.stores.redis.asking import Words, packed

_MAKE: Any = Connection
_CONNECTION = _MAKE()
_WORDS = st.one_of(
    st.binary(max_size=70),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=70),
    st.integers(),
    st.integers(60, 70).map(lambda size: b"x" * size),
)


@given(st.lists(_WORDS, min_size=1).map(tuple))
def test_packed_as_the_driver_packs(words: Words) -> None:
    """A command of any words, with line ends, zeros and sizes on both sides of any border, is what the driver sends."""
    assert b"".join(_CONNECTION.pack_command("X", *words)) == packed(("X", *words))
