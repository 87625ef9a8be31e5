"""Hypothesis strategies for what callers may send: hostile but valid names, any JSON, lifetimes."""

from typing import Any, Final

from hypothesis import strategies as st

from sessionguard.core.arguments import valid_text
from sessionguard.core.records import Lifetime
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.contracts.identity import LOOK_ALIKE_OWNERS
from sessionguard.testing.contracts.stage import KEEPS_DATA, LIFETIME

_NAME_CHARACTERS: Final = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
_TEXT_CHARACTERS: Final = st.characters(codec="utf-8", exclude_characters="\0")
_EXTERNAL_ID_CHARACTERS: Final = "ABCabc012_-"

_SHORT: Final = Lifetime(idle_us=60_000_000, absolute_us=90_000_000, touch_us=0, retention_us=120_000_000)


def _is_valid(text: str) -> bool:
    try:
        valid_text("name", text)
    except InvalidArgumentError:
        return False
    return True


def names() -> st.SearchStrategy[str]:
    """Give scopes and owners: those that a careless comparison takes for each other, and any other valid text."""
    return st.sampled_from(LOOK_ALIKE_OWNERS) | st.text(_NAME_CHARACTERS, min_size=1, max_size=20).map(
        str.strip
    ).filter(_is_valid)


def external_ids() -> st.SearchStrategy[str | None]:
    """Give external ids, or none."""
    return st.none() | st.text(_EXTERNAL_ID_CHARACTERS, min_size=1, max_size=3)


def json_values() -> st.SearchStrategy[Any]:
    """Give any JSON value that a session may hold."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(_TEXT_CHARACTERS, max_size=10)
    )
    keys = st.text(_TEXT_CHARACTERS, max_size=5)
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=5
    )


def field_names() -> st.SearchStrategy[str]:
    """Give names of data fields: a few that meet often, and any other text."""
    return st.sampled_from(("a", "b", "a.b", '"', "$")) | st.text(_TEXT_CHARACTERS, min_size=1, max_size=8)


def data() -> st.SearchStrategy[dict[str, Any]]:
    """Give what a session may hold."""
    return st.dictionaries(field_names(), json_values(), max_size=4)


def lifetimes() -> st.SearchStrategy[Lifetime]:
    """Give lifetimes: ten minutes idle with and without data in the history, and one that is over soon."""
    return st.sampled_from((LIFETIME, KEEPS_DATA, _SHORT))
