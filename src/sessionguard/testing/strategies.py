"""Hypothesis strategies for what a hostile or unlucky caller may send, each in two halves.

`owners()` gives what is valid and looks dangerous: the guard must take it and keep it apart from all that looks like
it. `invalid_owners()` gives what must be refused. So it goes with external ids, session ids, tokens, file names, data
and chunks of uploads. What is valid includes plain values, to which failures shrink.
"""

import itertools
import math
import unicodedata
from typing import Any, Final

from attrs import frozen
from hypothesis import strategies as st

from sessionguard.core.arguments import MAX_TEXT_BYTES, valid_external_id, valid_text
from sessionguard.core.records import Lifetime
from sessionguard.core.tokens import parse_token
from sessionguard.errors import InvalidArgumentError, PathEscapeError
from sessionguard.testing.contracts.identity import LOOK_ALIKE_OWNERS
from sessionguard.testing.contracts.stage import KEEPS_DATA, LIFETIME
from sessionguard.workspaces.names import MAX_COMPONENT_BYTES, MAX_COMPONENTS, parse_name

_NAME_CHARACTERS: Final = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
_TEXT_CHARACTERS: Final = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_EXTERNAL_ID_CHARACTERS: Final = "ABCabc012_-"
_HEX: Final = "0123456789abcdef"
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# Made as it is drawn, because a strategy is shown with all that it chooses from.
_LONG: Final = st.integers(3_000, 100_000).map("x".__mul__)
_SHORT: Final = Lifetime(idle_us=60_000_000, absolute_us=90_000_000, touch_us=0, retention_us=120_000_000)

NO_TEXT: Final = (
    None, "", " ", "\t", "None", "null", "undefined", "NaN", "[object Object]", 0, 1.5, b"ana", True, ["ana"],
)  # fmt: skip
"""What careless code passes where a name is missing."""

BROKEN_TEXT: Final = (
    "a\0b", "\0", "ana\n", "\r\nSet-Cookie: a=b", " ana", "ana ", "a\u2028b", "a\u2029b", "\ud800", "ana\udfff",
    "\x1b[2J", "x" * (MAX_TEXT_BYTES + 1), "é" * (MAX_TEXT_BYTES // 2 + 1), "\x7f", "a\x85b",
)  # fmt: skip
"""Text that no name can be: NUL, control characters, line separators, lone surrogates, white space around, too long."""

_HOSTILE_OWNERS: Final = (
    "a*", "ab", "abc", "%", "_", "../x", "..", "/etc/passwd", "%2e%2e%2f", "..\\x", "a\u202etxt.exe", "\u200fana",
    "' OR 1=1 --", "{{7*7}}", "$(id)", "ana\u0301", "án\u0061", "sg1_", "sg1_0_", "x" * MAX_TEXT_BYTES,
    "é" * (MAX_TEXT_BYTES // 2), "{ana}", "{}a", "*", "?", "[a-z]*",
)  # fmt: skip

_INVALID_EXTERNAL_IDS: Final = (
    "", " ", "a b", "a*", "a.b", "../x", "%2e%2e", "a/b", "é", "a\0", "a\n", "-" * 129, "None", "null", "undefined",
    "\u202e", "\ud800", b"a", 1, "..", "a:b", "${a}",
)  # fmt: skip

_INVALID_FILE_NAMES: Final = (
    "", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "./a", "..\\x", "C:\\a", "c:a", "a\0b", "a\nb",
    "%2e%2e%2f", "~", "~/a", "-rf", ".hidden", "a.", "a ", " a", "con", "NUL.txt", "com1", "lpt9.csv", "ＣＯＮ", "．．",
    "*", "a?", "a|b", "a<b", 'a"b', "a:b", "a\u202etxt", "a\u200bb", "a\ufe0f", "\u0301a", "\ud800",
    "x" * (MAX_COMPONENT_BYTES + 1), "é" * (MAX_COMPONENT_BYTES // 2 + 1), "/".join("a" * (MAX_COMPONENTS + 1)),
    "a\\b", "$HOME", "`id`", "a;b", "a&b", "a%00b", None, 1, b"a",
)  # fmt: skip

_FILE_NAMES: Final = (
    "a", "b", "A", "a.csv", "a.CSV", "a/b", "a/b.csv", "dir/sub/file.txt", "résumé.pdf",
    unicodedata.normalize("NFD", "résumé.pdf"), "日本語.txt", "файл", "straße", "STRASSE", "a b", "a (1).csv",
    "a+b=c@d,e",
    "x" * MAX_COMPONENT_BYTES, "/".join("a" * MAX_COMPONENTS), "0", "1", "01", "a.b.c", "ſ", "s", "ı", "i", "İ",
    "constant.txt", "nulls", "ab", "abc",
)  # fmt: skip


def _accepts(check: Any, *arguments: object) -> bool:
    try:
        check(*arguments)
    except (InvalidArgumentError, PathEscapeError):
        return False
    return True


def is_owner(value: object) -> bool:
    """Tell whether a guard takes `value` for an owner or a scope."""
    return _accepts(valid_text, "owner", value)


def is_file_name(value: object) -> bool:
    """Tell whether a workspace takes `value` for the name of a file."""
    return _accepts(parse_name, "0" * 34, value)


# Names


def names() -> st.SearchStrategy[str]:
    """Give scopes and owners: those that a careless comparison takes for each other, and any other valid text."""
    return st.sampled_from(LOOK_ALIKE_OWNERS) | st.text(_NAME_CHARACTERS, min_size=1, max_size=20).map(
        str.strip
    ).filter(is_owner)


def owners() -> st.SearchStrategy[str]:
    """Give owners that a guard must take and keep apart: plain ones, look-alikes, globs, paths, bidi, long ones."""
    return st.one_of(
        st.sampled_from(("ana", "bob")), st.sampled_from(tuple(filter(is_owner, _HOSTILE_OWNERS))), names()
    )


def twins() -> st.SearchStrategy[tuple[str, str]]:
    """Give two different owners that a careless comparison takes for one: by case, form, prefix, pattern or joining."""
    pairs = (
        ("ana", "Ana"), ("straße", "strasse"), ("jos\u00e9", "jose\u0301"), ("ab", "abc"), ("a*", "ab"), ("a_", "ab"),
        ("a%", "ab"), ("1", "01"), ("ı", "i"), ("K", "\u212a"), ("ﬁ", "fi"), ("a", "а"), ("a b", "a\u00a0b"),
        ("x" * 300 + "a", "x" * 300 + "b"), ("a:b", "a::b"), ("a.", "a"), ("0", "-0"), ("a\u00adb", "ab"),
    )  # fmt: skip
    return st.sampled_from(pairs).flatmap(lambda pair: st.sampled_from((pair, pair[::-1])))


def invalid_owners() -> st.SearchStrategy[Any]:
    """Give what no guard takes for an owner or a scope: missing values, other types, text that no store can hold."""
    return st.sampled_from((*NO_TEXT[1:], *BROKEN_TEXT)) | st.text(max_size=20).filter(lambda text: not is_owner(text))


def external_ids() -> st.SearchStrategy[str | None]:
    """Give external ids, or none."""
    return st.none() | st.text(_EXTERNAL_ID_CHARACTERS, min_size=1, max_size=3)


def invalid_external_ids() -> st.SearchStrategy[Any]:
    """Give what no guard takes for an external id."""
    return st.sampled_from(_INVALID_EXTERNAL_IDS) | st.text(min_size=1, max_size=10).filter(
        lambda text: not _accepts(valid_external_id, text)
    )


def session_ids() -> st.SearchStrategy[str]:
    """Give text with the form of a session id, which nobody has."""
    return st.text(_HEX, min_size=34, max_size=34)


def invalid_session_ids() -> st.SearchStrategy[Any]:
    """Give what cannot be a session id: paths, patterns, other cases and lengths, other types. It leads to nothing."""
    near = session_ids().flatmap(
        lambda one: st.sampled_from(
            (one[:-1], one + "0", "A" + one[1:], one + "\n", one[:2] + "*", f"../{one}", f"{one}\0", f" {one}")
        )
    )
    return st.sampled_from((*NO_TEXT, *BROKEN_TEXT, "*", "..", "%2e%2e")) | near | _LONG


def tokens() -> st.SearchStrategy[str]:
    """Give text with one of the two forms of a token, which no guard has given out."""
    shard = st.text(_HEX, min_size=2, max_size=2)
    return st.builds("sg1_0_{}{}".format, shard, st.text(_BASE64, min_size=43, max_size=43)) | st.builds(
        "sg{}{}{}".format,
        st.text(_BASE36, min_size=3, max_size=3),
        shard,
        st.text(_BASE36, min_size=25, max_size=25),
    )


def invalid_tokens() -> st.SearchStrategy[Any]:
    """Give what cannot be a token: near misses, other types, text that no store can hold. It leads to nothing."""
    near = tokens().flatmap(
        lambda one: st.sampled_from(
            (one[:-1], one + "A", one.upper(), one.replace("sg1", "sg2"), one + "\n", one + "\0", f" {one}", one[4:])
        )
    )
    broken = near.filter(lambda text: parse_token(text) is None)
    return st.sampled_from((*NO_TEXT, *BROKEN_TEXT, "*", "..", "sg1_", "sg1_0_")) | broken | _LONG


# Data


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


def nested(depth: int, innermost: Any = None) -> Any:
    """Give lists within each other, so many."""
    for _ in range(depth):
        innermost = [innermost]
    return innermost


def invalid_data() -> st.SearchStrategy[dict[Any, Any]]:
    """Give what no session can hold: no JSON, other keys than text, NaN, too deep, text that no store can hold."""
    values = (
        math.nan, math.inf, -math.inf, b"bytes", bytearray(b"x"), {1, 2}, object(), 1j, int, print, range(2),
        "\ud800", "a\0b", {1: "a"}, {None: 1}, {"a\0": 1}, {"\ud800": 1}, [math.nan], {"a": b"x"},
    )  # fmt: skip
    depths = st.integers(40, 2_000).map(nested)
    keys = st.sampled_from((1, None, b"a", "", "\0", "\ud800", "x" * 257, ("a",)))
    broken = st.sampled_from(values) | depths | st.sampled_from(values[:8]).map(lambda value: {"a": [1, value]})
    return st.dictionaries(st.just("a"), broken, min_size=1, max_size=1) | st.dictionaries(
        keys, st.just(1), min_size=1, max_size=1
    )


def lifetimes() -> st.SearchStrategy[Lifetime]:
    """Give lifetimes: ten minutes idle with and without data in the history, and one that is over soon."""
    return st.sampled_from((LIFETIME, KEEPS_DATA, _SHORT))


# Files


def file_names() -> st.SearchStrategy[str]:
    """Give names of files that a workspace must take: case twins, forms, scripts, nested, and as long as can be."""
    valid = tuple(filter(is_file_name, _FILE_NAMES))
    return st.sampled_from(valid) | st.text(_NAME_CHARACTERS, min_size=1, max_size=12).filter(is_file_name)


def invalid_file_names() -> st.SearchStrategy[Any]:
    """Give names that a workspace must refuse: ways out, devices, hidden and invisible ones, too long, no text."""
    names = st.text(min_size=1, max_size=12).filter(lambda text: not is_file_name(text))
    return st.sampled_from(_INVALID_FILE_NAMES) | names | _LONG


def contents(max_size: int = 64) -> st.SearchStrategy[bytes]:
    """Give what a file may hold."""
    return st.binary(max_size=max_size)


@frozen
class Chunk:
    """A part of an upload: where it begins, and its bytes."""

    offset: int
    data: bytes


def upload_chunks(max_size: int = 64, most: int = 6) -> st.SearchStrategy[list[Chunk]]:
    """Give the chunks of one whole upload in the order of their offsets: of one byte, uneven, empty, or only one.

    The bytes prefer what parsers look for: line ends, boundaries and NUL, cut anywhere.
    """
    telling = st.lists(st.sampled_from((b"\r\n", b"--", b"--boundary", b"\0", b"a", b"\xff", b"\n")), max_size=8)
    whole = st.binary(max_size=max_size) | telling.map(b"".join)

    def cut(content: bytes) -> st.SearchStrategy[list[Chunk]]:
        places = st.lists(st.integers(0, len(content)), max_size=most - 1).map(sorted)
        return places.map(lambda found: _cut(content, [0, *found, len(content)]))

    return whole.flatmap(cut)


def _cut(content: bytes, places: list[int]) -> list[Chunk]:
    return [Chunk(start, content[start:end]) for start, end in itertools.pairwise(places)]


def invalid_upload_chunks(max_size: int = 64) -> st.SearchStrategy[list[Chunk]]:
    """Give chunks that are no whole upload: with a gap, an overlap that differs, or an offset that cannot be."""
    whole = upload_chunks(max_size).filter(lambda chunks: any(chunk.data for chunk in chunks))

    def broken(chunks: list[Chunk]) -> st.SearchStrategy[list[Chunk]]:
        full = [number for number, chunk in enumerate(chunks) if chunk.data]
        return st.tuples(st.sampled_from(full), st.sampled_from(tuple(_BREAKING))).map(
            lambda chosen: _BREAKING[chosen[1]](chunks, chosen[0])
        )

    return whole.flatmap(broken)


def _moved(chunks: list[Chunk], number: int, offset: int) -> list[Chunk]:
    return [Chunk(offset, chunk.data) if n == number else chunk for n, chunk in enumerate(chunks)]


_BREAKING: Final[dict[str, Any]] = {
    "gap": lambda chunks, number: _moved(chunks, number, chunks[number].offset + 1),
    "before the beginning": lambda chunks, number: _moved(chunks, number, -1),
    "far beyond": lambda chunks, number: _moved(chunks, number, 2**63),
    "another overlap": lambda chunks, number: [
        *chunks,
        Chunk(chunks[number].offset, bytes(octet ^ 1 for octet in chunks[number].data)),
    ],
}
