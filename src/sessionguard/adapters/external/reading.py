"""Which session a request asks for by name: exactly one value, in one place, or none.

Where a query, a body and a header could each name one, programs disagree about which counts, and each disagreement
has let one user's request reach another's data; so two values are refused, be they equal.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from attrs import frozen

from sessionguard.adapters.external.identifiers import selected_by
from sessionguard.core.tokens import parse_token
from sessionguard.errors import InvalidArgumentError

MAX_BODY_BYTES: Final = 64 * 1024
"""Larger bodies are uploads, and name no session."""
_MAX_FIELDS: Final = 1000
_FORM: Final = "application/x-www-form-urlencoded"


@frozen(repr=False)
class Carried:
    """What a request carries, as it came: a mount gives it without looking into it."""

    query: bytes = b""
    headers: tuple[bytes, ...] = ()
    """The values of the header for external ids, in order."""
    content_type: str = ""
    body: bytes = b""
    """The body, if `is_looked_at` says that it is to be read."""
    is_opaque: bool = False
    """Whether there is a body that is not looked at: an upload, or one of unknown length."""


@frozen(repr=False)
class Asked:
    """The session that a request asks for."""

    selected: str | None
    signature: str | None = None
    misplaced: tuple[str, ...] = ()
    """Where one of our tokens stood that has no business there; none of them was looked at."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its repeated names."""


def is_form(content_type: str) -> bool:
    """Tell whether a body of `content_type` has fields in it, as far as they are looked at."""
    return _kind(content_type) == _FORM or is_json(content_type)


def is_looked_at(content_type: str, length: int | None) -> bool:
    """Tell whether a body of `length` bytes is read for a name of a session; None if nobody said how long it is."""
    return length is not None and length <= MAX_BODY_BYTES and is_form(content_type)


def is_json(content_type: str) -> bool:
    """Tell whether a body of `content_type` is JSON."""
    kind = _kind(content_type)
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def asked_by(carried: Carried, parameter: str = "_sid", signature: str = "_sig") -> Asked:
    """Give what `carried` asks for in the fields named `parameter` and `signature`.

    Raises:
        InvalidArgumentError: there are several values, or one that can select nothing; no store was asked.
    """
    selecting: list[object] = []
    signing: list[object] = []
    misplaced: dict[str, None] = {}
    for place, name, value in _fields(carried, parameter):
        if isinstance(value, str) and parse_token(value) is not None:
            misplaced[place] = None
        if name == parameter or name.startswith(parameter + "["):
            # A list by another spelling is still more than one place for a value.
            selecting.append(value if name == parameter else None)
        elif name == signature or name.startswith(signature + "["):
            signing.append(value if name == signature else None)
    selected = _only(parameter, selecting)
    signed = _only(signature, signing)
    if signed is not None and not isinstance(signed, str):
        raise InvalidArgumentError(signature, "(not shown)", "give it once, as text")
    return Asked(
        selected=None if not selecting or _is_token(selected) else selected_by(parameter, selected),
        signature=signed,
        misplaced=tuple(misplaced),
    )


def _is_token(value: object) -> bool:
    return isinstance(value, str) and parse_token(value) is not None


def _only(name: str, values: list[object]) -> object:
    if len(values) > 1:
        raise InvalidArgumentError(name, f"({len(values)} values)", "give it once, in one place")
    if values and values[0] is None:
        raise InvalidArgumentError(name, "(not shown)", "give it once, as text")
    return values[0] if values else None


def _fields(carried: Carried, parameter: str) -> Iterator[tuple[str, str, object]]:
    """Yield the place, name and value of every field."""
    for name, value in _pairs_of("query", carried.query):
        yield "query", name, value
    for header in carried.headers:
        yield "header", parameter, header.strip(b" \t").decode("latin-1")
    for name, found in _body_fields(carried, parameter.encode()):
        yield "body", name, found


def _body_fields(carried: Carried, parameter: bytes) -> Iterable[tuple[str, object]]:
    body = carried.body
    # Names may be spelt with escapes. A body with nothing of ours is not taken apart, nor found fault with.
    if len(body) > MAX_BODY_BYTES or not any(mark in body for mark in (parameter, b"\\u", b"%", b"sg")):
        return ()
    if is_json(carried.content_type):
        return _json_pairs(carried.body)
    return _pairs_of("body", carried.body) if is_form(carried.content_type) else ()


def _pairs_of(place: str, text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidArgumentError(place, f"({len(text)} bytes)", f"send at most {_MAX_FIELDS} fields") from None


def _json_pairs(body: bytes) -> Iterable[tuple[str, object]]:
    try:
        found = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise InvalidArgumentError("body", f"({len(body)} bytes)", "send valid JSON, or another content type") from None
    return found if isinstance(found, _Pairs) else ()
