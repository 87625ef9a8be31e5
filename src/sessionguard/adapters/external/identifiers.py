"""What an external id may look like, which ones nobody can guess, and how they are named where many may read."""

import hashlib
import itertools
import re
from typing import Final

from sessionguard.core.arguments import is_session_id, valid_external_id
from sessionguard.errors import InvalidArgumentError

MIN_UNGUESSABLE: Final = 22
"""Characters of base64url that hold 128 random bits, the least of what nobody may guess (OWASP ASVS 5.0, 11.5.1)."""
_MIN_DISTINCT: Final = 8
# What stands for an id that nobody chose.
_PLACEHOLDER: Final = re.compile(
    r"(test|default|demo|example|sample|session|user|guest|undefined|null|none|external|workflow|changeme)"
    r"|(test|default|demo|example|session)$",
    re.IGNORECASE,
)


def selected_by(parameter: str, value: object) -> str:
    """Give `value` if it can select a session: an external id, or the id of a session that has none.

    Raises:
        InvalidArgumentError: it is neither; no store was asked.
    """
    if value is not None and not isinstance(value, str):
        # A browser sends text; only JSON has other values, of which 1e3 or 007 would be changed on the way.
        remedy = 'send text: in JSON in quotes, such as "42", not 42'
        raise InvalidArgumentError(parameter, "(no text, not shown)", remedy)
    try:
        found = valid_external_id(value)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(parameter, "(not shown)", error.remedy) from None
    if found is None:
        raise InvalidArgumentError(parameter, None, "use 1 to 128 of the characters A-Z a-z 0-9 _ -")
    return found


def is_server_id(selected: str) -> bool:
    """Tell whether `selected` has the form of an id that this library gave; such a one is never an external id."""
    return is_session_id(selected)


def required_unguessable(parameter: str, external_id: str) -> None:
    """Refuse an external id that two strangers may both come upon, or that one may guess of another.

    Raises:
        InvalidArgumentError: it is shorter than 128 random bits, or has less variety than random text has.
    """
    if len(external_id) < MIN_UNGUESSABLE:
        problem = f"it must hold 128 random bits, at least {MIN_UNGUESSABLE} characters"
    elif len(set(external_id)) < _MIN_DISTINCT or _is_repeated(external_id) or _is_counted(external_id):
        problem = "it repeats itself where random text does not"
    elif _PLACEHOLDER.match(external_id) or _PLACEHOLDER.search(external_id, len(external_id) - 7):
        problem = "it looks like a placeholder"
    else:
        return
    raise InvalidArgumentError(parameter, "(not shown)", f"{problem}; make one with secrets.token_urlsafe(16)")


def _is_repeated(text: str) -> bool:
    return any(text.startswith(text[width:]) for width in range(1, len(text) // 2 + 1))


def _is_counted(text: str) -> bool:
    steps = sum(abs(ord(after) - ord(before)) <= 1 for before, after in itertools.pairwise(text))
    return steps * 2 > len(text)


def fingerprint(external_id: str) -> str:
    """Give 16 hexadecimal digits that stand for `external_id` in events, errors, cookie names and owners."""
    return hashlib.sha256(b"sessionguard external id\0" + external_id.encode()).hexdigest()[:16]


def owner_of(kind: str, external_id: str) -> str:
    """Give the owner of the slot for which everybody competes who names `external_id`."""
    # By its hash, so that a sharded store spreads them.
    digest = hashlib.sha256(b"sessionguard external owner\0" + external_id.encode()).hexdigest()
    return f"{kind}-{digest[:32]}"
