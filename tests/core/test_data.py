"""Session data: what JSON is, what comes back, what is refused, what a change is."""

import json
from collections import OrderedDict, UserDict, defaultdict
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionguard.core.data import (
    decode,
    difference,
    encode_data,
    encode_fields,
    field_names,
    join_fields,
    merge,
    size_bytes,
)
from sessionguard.errors import InvalidArgumentError

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(text.filter(bool), values, max_size=4)


class Name(str):
    """Text of a type of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"the {self[:]}"


class Colour(IntEnum):
    """A value that looks like a number and is none."""

    RED = 1


@given(mappings)
def test_data_comes_back_as_it_went_in(data: dict[str, Any]) -> None:
    """What is JSON survives the way to a store and back, types and all."""
    assert repr(decode(join_fields(encode_fields(data, max_depth=32)))) == repr(data)


@given(mappings)
def test_data_in_one_go_is_the_same_text(data: dict[str, Any]) -> None:
    """Whoever reads it cannot tell whether it was written whole or field by field."""
    assert encode_data(data, max_depth=32) == join_fields(encode_fields(data, max_depth=32))


@pytest.mark.parametrize(
    "data", [None, {}, UserDict(a=1, b=[None]), OrderedDict({Name("a"): (1, 2.5), "a": True})], ids=ascii
)
def test_other_mappings_in_one_go_are_the_same_text(data: Any) -> None:
    """Nothing at all, and what only behaves like a dictionary or like text."""
    assert encode_data(data, max_depth=32) == join_fields(encode_fields(data, max_depth=32))


def test_tuple_comes_back_as_list_and_shares_nothing() -> None:
    """Data is JSON: it has lists only, and the stored text cannot be changed through what was passed in."""
    inner = [1]
    encoded = join_fields(encode_fields({"pair": (1, inner)}, max_depth=32))
    inner.append(2)
    assert decode(encoded) == {"pair": [1, [1]]}
    assert decode(encoded)["pair"] is not decode(encoded)["pair"]


def test_mappings_that_are_dicts_are_taken() -> None:
    """Ordered and defaulting dictionaries are objects like any other."""
    nested = {"a": OrderedDict(x=1), "b": defaultdict(int, y=2)}
    assert decode(join_fields(encode_fields(nested, max_depth=32))) == {"a": {"x": 1}, "b": {"y": 2}}


def test_no_data_is_no_fields() -> None:
    """None stands for nothing to say, an empty mapping too."""
    assert encode_fields(None, max_depth=1) == {} == encode_fields({}, max_depth=1)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [float("-inf")],
        b"bytes",
        {1, 2},
        object(),
        Colour.RED,
        {1: "a"},
        {"a": {None: 1}},
        "a\0b",
        {"a\0": 1},
        "\ud800",
        ["\udfff"],
        10**5000,
        range(3),
    ],
    ids=lambda value: ascii(value)[:16] if not isinstance(value, int) else "int",
)
def test_what_json_cannot_hold_is_refused_by_field(value: Any) -> None:
    """The message names the field; nothing is turned into text in silence."""
    with pytest.raises(InvalidArgumentError) as caught:
        encode_fields({"field": value}, max_depth=32)
    assert "field" in caught.value.argument
    with pytest.raises(InvalidArgumentError) as in_one_go:
        encode_data({"before": 1, "field": value}, max_depth=32)
    assert str(in_one_go.value) == str(caught.value)


@pytest.mark.parametrize("data", [[], "a", b"a", 1, [("a", 1)], object()], ids=lambda data: type(data).__name__)
def test_data_is_a_mapping(data: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidArgumentError, match="mapping"):
        encode_fields(data, max_depth=32)
    with pytest.raises(InvalidArgumentError, match="mapping"):
        encode_data(data, max_depth=32)


@pytest.mark.parametrize("name", ["", 1, None, ("a",), "a\0", "\ud800", "n" * 257, "é" * 129])
def test_field_name_is_short_text(name: Any) -> None:
    """One to 256 bytes of text that every store can hold."""
    with pytest.raises(InvalidArgumentError):
        encode_fields({name: 1}, max_depth=32)
    with pytest.raises(InvalidArgumentError):
        encode_data({name: 1}, max_depth=32)
    with pytest.raises(InvalidArgumentError):
        field_names("remove", [name])


def nested(depth: int) -> Any:
    """Give a list in a list in a list, so deep."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_has_a_limit() -> None:
    """As deep as the policy says, and no deeper."""
    assert encode_fields({"a": nested(3)}, max_depth=3) == {"a": "[[[1]]]"}
    assert encode_data({"a": nested(3)}, max_depth=3) == '{"a":[[[1]]]}'
    with pytest.raises(InvalidArgumentError, match="deeper"):
        encode_fields({"a": nested(4)}, max_depth=3)
    with pytest.raises(InvalidArgumentError, match="deeper"):
        encode_data({"a": nested(4)}, max_depth=3)


def test_depth_beyond_every_limit_is_still_our_error() -> None:
    """A policy that allows any depth does not make the interpreter's own limit the caller's problem."""
    with pytest.raises(InvalidArgumentError):
        encode_fields({"a": nested(100_000)}, max_depth=10**6)
    with pytest.raises(InvalidArgumentError):
        encode_data({"a": nested(100_000)}, max_depth=10**6)


def test_value_that_contains_itself_is_refused() -> None:
    """A loop has no end in JSON."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidArgumentError):
        encode_fields({"a": loop}, max_depth=32)
    with pytest.raises(InvalidArgumentError):
        encode_data({"a": loop}, max_depth=10**6)


@pytest.mark.parametrize("names", ["field", b"field", 1, None])
def test_one_text_is_no_list_of_names(names: Any) -> None:
    """`remove="name"` would remove n, a, m and e."""
    with pytest.raises(InvalidArgumentError, match="sequence"):
        field_names("remove", names)


@given(mappings, mappings, st.lists(text.filter(bool), max_size=3))
def test_merge_replaces_and_removes_whole_fields(stored: Any, changes: Any, remove: list[str]) -> None:
    """A save is a dictionary update and nothing deeper."""
    expected = {name: value for name, value in (stored | changes).items() if name not in remove}
    merged = merge(json.dumps(stored), json.dumps(changes), remove)
    assert decode(merged) == expected


@given(mappings, mappings)
def test_difference_leads_from_one_to_the_other(before: Any, after: Any) -> None:
    """Applying what differs gives exactly what was wanted, types and all."""
    changes, removed = difference(before, after)
    changed = {name: value for name, value in (before | changes).items() if name not in removed}
    assert {name: repr(value) for name, value in changed.items()} == {name: repr(v) for name, v in after.items()}


@pytest.mark.parametrize("before, after", [(1, True), (1, 1.0), (0, False), ([1], [True]), ({"x": 1}, {"x": 1.0})])
def test_equal_in_python_is_not_equal_in_json(before: Any, after: Any) -> None:
    """1, 1.0 and true are three values."""
    assert difference({"a": before}, {"a": after}) == ({"a": after}, ())


def test_unchanged_is_no_change() -> None:
    """What is the same at every depth is not written again."""
    assert difference({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == ({}, ())


def test_size_is_counted_in_bytes() -> None:
    """A limit in bytes is not one in characters."""
    assert size_bytes('{"a":"é"}') == 10
    assert size_bytes("{}") == 2


def test_stored_data_may_have_white_space_around_it() -> None:
    """Another program may have written it, and JSON allows that."""
    assert decode(' {"a": 1}\n') == decode('{"a": 1}\n') == {"a": 1}


@pytest.mark.parametrize("text", ["[1]", '{"a":1}{}', '{"a":1', "{}]", ""])
def test_stored_data_that_is_no_object_is_not_given_out(text: str) -> None:
    """Only an object is session data."""
    with pytest.raises(ValueError, match=r"JSON object|Extra data|Expecting"):
        decode(text)


def test_t35_stored_pickle_is_never_read() -> None:
    """Bytes of another format are an error, whatever they would have done."""
    with pytest.raises(ValueError, match="Expecting value"):
        decode("cos\nsystem\n(S'true'\ntR.")
