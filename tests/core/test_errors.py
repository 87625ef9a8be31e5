"""Messages of errors: short, on one line, without secrets, the same on the other side of a pickle."""

import pickle

import pytest

from sessionguard.core.tokens import Mint
from sessionguard.errors import ConfigurationError, InvalidArgumentError, PathEscapeError, SessionGuardError
from tests.core.making import counted_bytes

TOKEN = Mint(counted_bytes()).new("d" * 32, "ada").token


def shown(error: SessionGuardError) -> str:
    """Give everything of an error that may reach a log or another process."""
    return f"{error} {error!r} {vars(error)} {pickle.dumps(error)!r}"


@pytest.mark.parametrize(
    "value", [TOKEN, f"Bearer {TOKEN}", [TOKEN], {"token": TOKEN}, "x" * 40 + TOKEN, TOKEN.encode()]
)
def test_t36_token_passed_by_mistake_is_hidden(value: object) -> None:
    """Whatever wrong argument holds a token, the error about it does not, not even a part of it."""
    for error in (
        InvalidArgumentError("owner", value, "give text"),
        ConfigurationError("store URL", value, "give a URL"),
        PathEscapeError("0" * 34, value, "it is refused"),
    ):
        assert TOKEN[-20:] not in shown(error)
        assert TOKEN[:20] not in shown(error)


def test_t36_value_cannot_forge_a_log_line() -> None:
    """Line breaks, escapes and text of another direction are shown escaped."""
    error = InvalidArgumentError("owner", "ada\r\n2026-01-01 INFO all is well\x1b[2J\u202e", "give text")
    assert str(error).isascii()
    assert str(error).isprintable()


def test_long_value_is_cut() -> None:
    """A megabyte of nonsense makes a short message."""
    assert len(str(InvalidArgumentError("owner", "x" * 1_000_000, "give text"))) < 150
