"""Unique marks that travel inside uploaded data, so that whoever receives data can tell whose it is."""

import re
import secrets
from collections.abc import Iterable

_FORM = re.compile(rb"MARK-[a-z0-9]+-[0-9a-f]{16}")


def new_marker(state: str) -> str:
    """Give a marker never used before that names `state`."""
    return f"MARK-{state}-{secrets.token_hex(8)}"


def markers_in(content: bytes) -> frozenset[str]:
    """Give every marker that occurs in `content`."""
    return frozenset(match.decode() for match in _FORM.findall(content))


def state_of(marker: str) -> str:
    """Give the state that a marker names."""
    return marker.split("-")[1]


def states_of(markers: Iterable[str]) -> tuple[str, ...]:
    """Give the states that `markers` name, each once, in order."""
    return tuple(sorted({state_of(marker) for marker in markers}))
