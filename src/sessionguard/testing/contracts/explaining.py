"""What an assertion of the kit says of sessions and replies that were to be equal: short, and what differs in full."""

from collections.abc import Iterator
from typing import Any

import attrs

from sessionguard.core import commands, records
from sessionguard.testing.history.showing import shown_value

_MODULES = (commands.__name__, records.__name__)


def explained(operator: str, left: object, right: object) -> list[str] | None:
    """Give the lines for a comparison of two sessions or replies, or of one with None; None for any other.

    From which reply None came, pytest says after them.
    """
    if operator != "==" or not (_is_ours(left) or _is_ours(right)):
        return None
    if not all(_is_ours(each) or each is None for each in (left, right)):
        return None
    if left is None or right is None:
        side, there = ("left", right) if left is None else ("right", left)
        return [f"{_told(left)} == {_told(right)}", f"the {side} side is absent: no {type(there).__name__}"]
    return [f"{_told(left)} == {_told(right)}", *_differences(left, right)]


def _is_ours(value: object) -> bool:
    return type(value).__module__ in _MODULES


def _told(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__}({shown_value(value)})"


def _differences(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """Give a line for each field that differs, down to the fields of records within replies."""
    if type(left) is type(right) and attrs.has(type(left)):
        for field in attrs.fields(type(left)):
            yield from _differences(getattr(left, field.name), getattr(right, field.name), f"{path}.{field.alias}")
    elif left != right and path:
        yield f"{path[1:]}: {left!r} != {right!r}"
