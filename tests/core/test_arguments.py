"""What may be a scope, an owner, an external id, a reason or a lock name, and what is refused."""

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from sessionguard.core.arguments import (
    MAX_TEXT_BYTES,
    is_session_id,
    valid_external_id,
    valid_lock_name,
    valid_reason,
    valid_text,
)
from sessionguard.core.tokens import Mint
from sessionguard.errors import InvalidArgumentError
from tests.core.making import counted_bytes

MISSING = [None, "", " ", "\t", "None", "none", "null", "NULL", "nil", "undefined", "NaN", "{}", "[]"]
MISSING += [0, 1, True, False, 1.5, b"ada", [], {}, Mint]  # type: ignore[list-item]
TOKEN = Mint(counted_bytes()).new("d" * 32, "ada").token


@pytest.mark.parametrize("value", MISSING, ids=ascii)
def test_t07_missing_value_is_no_name(value: Any) -> None:
    """What an application passes for a value it does not have is refused by name, never used as a key."""
    with pytest.raises(ValueError, match="owner"):
        valid_text("owner", value)


@pytest.mark.parametrize(
    "value",
    [
        " ada",
        "ada ",
        "ada\n",
        "ada\r\nforged: line",
        "a\0b",
        "a\x7fb",
        "a\x85b",
        "a\u2028b",
        "a\u2029b",
        "\ud800",
        "ada\udfff",
        "\N{NO-BREAK SPACE}ada",
        "a" * (MAX_TEXT_BYTES + 1),
        "é" * (MAX_TEXT_BYTES // 2 + 1),
        "a" * 10_240,
        "\ud800" * 10_240,
    ],
    ids=lambda value: ascii(value[:12]),
)
def test_t15_text_that_can_mislead_is_refused(value: str) -> None:
    """White space around, control characters, line separators, lone surrogates and excess never name anybody."""
    with pytest.raises(InvalidArgumentError) as caught:
        valid_text("owner", value)
    assert "\n" not in str(caught.value)
    assert "\r" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value", ["ada", "Ada", "a b", "a:b", "a|b", "{x}", "用户", "é" * (MAX_TEXT_BYTES // 2), "a" * MAX_TEXT_BYTES, "0"]
)
def test_t15_ordinary_text_is_taken_as_it_is(value: str) -> None:
    """Nothing is folded, trimmed or normalised."""
    assert valid_text("owner", value) is value


def test_t15_spellings_stay_different_owners() -> None:
    """Case and Unicode form tell owners apart."""
    spellings = {valid_text("owner", unicodedata.normalize(form, "Zoé")) for form in ("NFC", "NFD")}
    assert len(spellings | {valid_text("owner", "zoé")}) == 3


@pytest.mark.parametrize("check", [lambda text: valid_text("owner", text), valid_external_id, valid_lock_name])
def test_t36_token_is_no_name(check: Callable[[str], object]) -> None:
    """A secret passed where a name belongs is refused, for names are stored and logged; the message hides it."""
    with pytest.raises(InvalidArgumentError) as caught:
        check(TOKEN)
    assert TOKEN not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))


@pytest.mark.parametrize("value", ["a", "A-z_09", "x" * 128, "42"])
def test_external_id_is_a_short_plain_word(value: str) -> None:
    """One to 128 letters, digits, underscores and hyphens are kept as they are."""
    assert valid_external_id(value) == value


def test_absent_external_id_is_none() -> None:
    """No external id is no error."""
    assert valid_external_id(None) is None


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "a.b", "../x", "a/b", "a\n", "é", "x" * 129, "null", "undefined", 0, True, b"a", ["a"]]
)
def test_t15_other_external_ids_are_refused(value: Any) -> None:
    """Anything that could be a path, a pattern or a missing value is refused before any look-up."""
    with pytest.raises(InvalidArgumentError, match="external_id"):
        valid_external_id(value)


@pytest.mark.parametrize(
    "value", [None, "", "a" * 33, "a" * 35, "A" * 34, "g" * 34, "a" * 34 + "\n", "٣" * 34, 0, True, b"a" * 34]
)
def test_t07_only_our_own_form_is_a_session_id(value: Any) -> None:
    """34 lower-case hexadecimal digits, and nothing else."""
    assert not is_session_id(value)
    assert is_session_id("0a" * 17)


@pytest.mark.parametrize("value", ["revoked", "escalated", "a", "2fa-reset", "org.policy_3", "x" * 64])
def test_reason_is_a_word_of_the_application(value: str) -> None:
    """Applications name reasons of their own."""
    assert valid_reason(value) == value


@pytest.mark.parametrize("value", ["", " ", "A", "a b", "a\nb", "-a", "x" * 65, None, 1, True])
def test_other_reasons_are_refused(value: Any) -> None:
    """A reason fits a log line and a metric label."""
    with pytest.raises(InvalidArgumentError, match="reason"):
        valid_reason(value)
