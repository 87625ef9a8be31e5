"""Session data: JSON with text keys, checked on the way in, a private copy on the way out.

Every store gives back exactly what JSON gives back: a tuple returns as a list, and nothing that is
returned shares memory with what was passed in.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from sessionguard.errors import InvalidArgumentError

MAX_FIELD_NAME_BYTES: Final = 256
EMPTY: Final = "{}"

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_read = json.JSONDecoder().raw_decode
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_SEQUENCES: Final = (tuple, list)


def encode_fields(data: object, *, max_depth: int, argument: str = "data") -> dict[str, str]:
    """Give every top-level field of `data` as JSON text.

    Raises:
        InvalidArgumentError: something in it is not JSON, too deep, or text no store can hold.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InvalidArgumentError(argument, type(data).__name__, "give a mapping from field name to JSON value")
    return {
        valid_field_name(argument, name): _encode_value(f"{argument}[{name!r}]", value, max_depth)
        for name, value in data.items()
    }


def encode_data(data: object, *, max_depth: int) -> str:
    """Give `data` as one JSON object: the text that `join_fields` makes of its `encode_fields`, written in one go.

    Raises:
        InvalidArgumentError: as `encode_fields`.
    """
    if isinstance(data, Mapping):
        try:
            fields = {valid_field_name("data", name): value for name, value in data.items()}
            for value in fields.values():
                _check("data", value, max_depth)
            return _encode(fields)
        except (RecursionError, ValueError):
            # Which field it is, shows one by one.
            pass
    return join_fields(encode_fields(data, max_depth=max_depth))


def valid_field_name(argument: str, name: object) -> str:
    """Give `name` if it can name a field, else raise `InvalidArgumentError`."""
    if not isinstance(name, str):
        raise InvalidArgumentError(argument, name, "field names are text")
    _check_text(argument, name)
    if not name or len(name.encode()) > MAX_FIELD_NAME_BYTES:
        raise InvalidArgumentError(argument, name, f"a field name has 1 to {MAX_FIELD_NAME_BYTES} bytes of UTF-8")
    return str(name)


def field_names(argument: str, names: object) -> tuple[str, ...]:
    """Give `names` as a tuple of field names; one text by itself is refused, for it would be read letter by letter."""
    # First what nearly all callers give: asking the rest takes five times as long.
    if not isinstance(names, _SEQUENCES) and (isinstance(names, str | bytes) or not isinstance(names, Iterable)):
        raise InvalidArgumentError(argument, names, "give a sequence of field names, such as [name]")
    return tuple([valid_field_name(argument, name) for name in names])


def join_fields(fields: Mapping[str, str]) -> str:
    """Give the JSON object whose fields have these JSON texts as values."""
    return "{" + ",".join([f"{_encode(name)}:{value}" for name, value in fields.items()]) + "}"


def merge(data: str, changes: str, remove: Iterable[str]) -> str:
    """Give the JSON object `data` with the fields of `changes` replaced whole and those in `remove` gone."""
    merged = decode(data)
    merged.update(decode(changes))
    for name in remove:
        merged.pop(name, None)
    return _encode(merged)


def decode(data: str) -> dict[str, Any]:
    """Give the mapping that the JSON object `data` describes, fresh at every call."""
    decoded: Any
    if data.startswith("{"):
        decoded, end = _read(data)
        if end == len(data):
            return cast(dict[str, Any], decoded)
    # Not as this library writes it: with white space around it, or no JSON object.
    decoded = json.loads(data)
    if not isinstance(decoded, dict):
        raise ValueError("session data is not a JSON object")
    return decoded


def size_bytes(data: str) -> int:
    """Give how much of its limit `data` takes."""
    return len(data) if data.isascii() else len(data.encode())


def difference(before: Mapping[str, Any], after: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give which top-level fields to change and which to remove to come from `before` to `after`."""
    if not isinstance(after, Mapping):
        raise InvalidArgumentError("function", type(after).__name__, "it must return a mapping, or None")
    return differing(before, after), tuple([name for name in before if name not in after])


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Give those top-level fields of `after` that are not in `before`, or not with the same JSON value."""
    return {name: value for name, value in after.items() if name not in before or not _same(before[name], value)}


def _same(left: object, right: object) -> bool:
    # 1 == True == 1.0 in Python, but they are three different JSON values.
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        assert isinstance(right, dict)
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        assert isinstance(right, list)
        return len(left) == len(right) and all(map(_same, left, right))
    return left == right


def _encode_value(where: str, value: object, max_depth: int) -> str:
    try:
        _check(where, value, max_depth)
        return _to_text(value)
    except RecursionError:
        raise InvalidArgumentError(where, type(value).__name__, "it is nested too deep") from None
    except InvalidArgumentError:
        raise
    except ValueError as error:
        # Python does not write whole numbers of thousands of digits, and would not read them back.
        raise InvalidArgumentError(where, type(value).__name__, str(error)) from None


def _to_text(value: object) -> str:
    # json builds an encoder for each call but one with text, which takes longer than all else about a number.
    if type(value) is int:
        return repr(value)
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    return _encode(value)


def _check(where: str, value: object, depth_left: int) -> None:
    kind = type(value)
    if kind in _SCALARS:
        _check_scalar(where, value)
        return
    if depth_left <= 0:
        raise InvalidArgumentError(where, kind.__name__, "it is nested deeper than max_data_depth allows")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidArgumentError(where, key, "keys of nested objects are text")
            _check_text(where, key)
            _check(where, item, depth_left - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(where, item, depth_left - 1)
    else:
        raise InvalidArgumentError(
            where, kind.__name__, "JSON knows text, numbers, true, false, null, lists and objects; convert it first"
        )


def _check_scalar(where: str, value: object) -> None:
    if isinstance(value, str):
        _check_text(where, value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgumentError(where, value, "JSON has no NaN and no infinity")


def _check_text(where: str, text: str) -> None:
    if text.isascii() and "\0" not in text:
        return
    if "\0" in text:
        raise InvalidArgumentError(where, text, "text must not hold NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(where, text, "text must not hold lone surrogates") from None
