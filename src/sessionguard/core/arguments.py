"""What callers may pass as scope, owner, external id and session id; everything else is refused by name.

A missing value must never become a key: an application that passes `None`, an empty header or the text
"undefined" would put all such users into one session. Texts are compared as they are, code point by code
point: `Ana` and `ana`, or two Unicode spellings of one name, are different owners.
"""

import re
import unicodedata
from typing import Final

from sessionguard.core.tokens import is_anonymous, parse_token
from sessionguard.errors import InvalidArgumentError

MAX_TEXT_BYTES: Final = 512

# What careless code makes of a missing value when it turns it into text.
_MISSING_AS_TEXT: Final = frozenset({"none", "null", "nil", "undefined", "nan", "[object object]", "{}", "[]"})
_LONGEST_MISSING: Final = max(map(len, _MISSING_AS_TEXT))
_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SESSION_ID: Final = re.compile(r"[0-9a-f]{34}")
_REASON: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def valid_text(argument: str, value: object) -> str:
    """Give `value` if it can name a scope or an owner, else raise `InvalidArgumentError`."""
    if not isinstance(value, str):
        raise InvalidArgumentError(
            argument, value, f"give non-empty text, such as str(user.id), not {type(value).__name__}"
        )
    # The common case in one cheap test: printable ASCII, not over the limit.
    if not (value.isascii() and value.isprintable() and len(value) <= MAX_TEXT_BYTES):
        _refuse_unprintable(argument, value)
    if not value or value != value.strip():
        raise InvalidArgumentError(argument, value, "give non-empty text without white space around it")
    if value.lower() in _MISSING_AS_TEXT:
        raise InvalidArgumentError(argument, value, "this is what a missing value looks like as text")
    if value.startswith("sg"):
        _refuse_token(argument, value)
    return value


def valid_name(argument: str, value: object) -> str:
    """Give `value` if it can name an owner who is not a visitor without a name, else raise `InvalidArgumentError`.

    What visitors are called stands in logs, events and lists: whoever may choose his own name would get their sessions.
    """
    name = valid_text(argument, value)
    if is_anonymous(name):
        raise InvalidArgumentError(
            argument, name, "this library calls visitors without a name so; put something in front, such as user-"
        )
    return name


def _refuse_token(argument: str, value: str) -> None:
    # Names are stored, logged and listed as they are; a secret that strayed here would be too.
    if parse_token(value) is not None:
        raise InvalidArgumentError(
            argument, "(a token)", "a token is a secret and names nothing; pass the session's id"
        )


def _refuse_unprintable(argument: str, value: str) -> None:
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in value[: MAX_TEXT_BYTES + 1]):
        raise InvalidArgumentError(argument, value, "remove control characters, line separators and lone surrogates")
    if len(value) > MAX_TEXT_BYTES or len(value.encode()) > MAX_TEXT_BYTES:
        raise InvalidArgumentError(argument, value, f"use at most {MAX_TEXT_BYTES} bytes of UTF-8")


def valid_external_id(value: object) -> str | None:
    """Give `value` if it is None or 1 to 128 letters, digits, `_` or `-`, else raise `InvalidArgumentError`."""
    if value is None:
        return None
    if not isinstance(value, str) or _EXTERNAL_ID.fullmatch(value) is None:
        raise InvalidArgumentError("external_id", value, "use 1 to 128 of the characters A-Z a-z 0-9 _ -")
    if value.lower() in _MISSING_AS_TEXT:
        raise InvalidArgumentError("external_id", value, "this is what a missing value looks like as text")
    _refuse_token("external_id", value)
    return value


def is_session_id(value: object) -> bool:
    """Tell whether `value` has the form of a session id: 34 lower-case hexadecimal digits."""
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


def valid_reason(value: object) -> str:
    """Give `value` if it can be the reason why a session ended, else raise `InvalidArgumentError`."""
    if not isinstance(value, str) or _REASON.fullmatch(value) is None:
        raise InvalidArgumentError("reason", value, "use 1 to 64 of a-z 0-9 _ . - and begin with a letter or digit")
    return value


def valid_lock_name(value: object) -> str:
    """Give `value` if it can name a lock, else raise `InvalidArgumentError`."""
    return valid_text("name", value)


def positive(argument: str, value: object) -> int:
    """Give `value` if it is a whole number above zero, else raise `InvalidArgumentError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise InvalidArgumentError(argument, value, "give a whole number above zero")
    return value
