"""Histories as JSON lines, one operation a line, so that what happened on one machine can be judged on another.

Values keep their types: what JSON does not know is an object with the one key `$`, whose value names the type.
No token is ever in a history, only hashes of tokens.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final

import attrs

from sessionguard.core import commands, leases, lifecycle, limits, records
from sessionguard.testing.history.operations import Operation

_HOMES: Final = (commands, leases, lifecycle, limits, records)
_KNOWN: Final[Mapping[str, type]] = {
    name: found
    for home in _HOMES
    for name, found in vars(home).items()
    if isinstance(found, type) and found.__module__ == home.__name__ and (attrs.has(found) or issubclass(found, Enum))
}
"""Everything that a command or a reply is made of."""


def to_lines(operations: Iterable[Operation]) -> Iterator[str]:
    """Give each operation as one line of JSON, without a line break."""
    for operation in operations:
        fields = {field.name: getattr(operation, field.name) for field in attrs.fields(Operation)}
        yield json.dumps({name: _encoded(value) for name, value in fields.items()}, ensure_ascii=False)


def from_lines(lines: Iterable[str]) -> Iterator[Operation]:
    """Give the operations of such lines; empty lines are passed over.

    Raises:
        ValueError: a line is not one of a history.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield Operation(**{name: _decoded(value) for name, value in json.loads(line).items()})
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ValueError(f"line {number} is not an operation of a history: {error}") from error


def _encoded(value: Any) -> Any:
    match value:
        case Enum():
            return {"$": type(value).__name__, "name": value.name}
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {"$": "bytes", "hex": value.hex()}
        case datetime():
            return {"$": "datetime", "iso": value.isoformat()}
        case tuple():
            return {"$": "tuple", "items": [_encoded(item) for item in value]}
        case list():
            return [_encoded(item) for item in value]
        case Mapping():
            return {"$": "mapping", "items": [[_encoded(key), _encoded(item)] for key, item in value.items()]}
    if type(value).__name__ in _KNOWN:
        fields = {field.alias: _encoded(getattr(value, field.name)) for field in attrs.fields(type(value))}
        return {"$": type(value).__name__, "fields": fields}
    raise TypeError(f"a history cannot write down a {type(value).__name__}; record JSON values, bytes or commands")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    match value["$"]:
        case "bytes":
            return bytes.fromhex(value["hex"])
        case "datetime":
            return datetime.fromisoformat(value["iso"])
        case "tuple":
            return tuple(_decoded(item) for item in value["items"])
        case "mapping":
            return {_decoded(key): _decoded(item) for key, item in value["items"]}
    kind: Any = _KNOWN[value["$"]]
    if issubclass(kind, Enum):
        return kind[value["name"]]
    return kind(**{name: _decoded(item) for name, item in value["fields"].items()})
