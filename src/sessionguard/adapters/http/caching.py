"""The headers that keep shared caches from giving one visitor's response to another."""

from collections.abc import Iterable
from typing import Final

from sessionguard.adapters.http.presented import Header

CLEAR_SITE_DATA: Final = '"cache", "storage"'
"""Sent at logout. Not "cookies": that would also take the cookie of a session opened by the same response
(a farewell message, say) and the cookies of every other application under the same domain."""

# What shared caches obey before Cache-Control, or beside it.
_CACHE_OVERRIDES: Final = frozenset({"expires", "surrogate-control", "x-accel-expires", "edge-control"})
_REPLACED: Final = _CACHE_OVERRIDES | {"vary", "cache-control"}


def private_headers(headers: Iterable[Header], request_header: str = "Cookie") -> list[Header]:
    """Give the `headers` of a response that depends on a session, whose token came in `request_header`.

    No shared cache may keep it, whatever the view said: a response with `public` reaches other users.
    """
    kept: list[Header] = []
    ours = request_header.lower()
    vary: list[str] = []
    cache_control = "private, no-store"
    for header in headers:
        name = header[0].lower()
        if name not in _REPLACED and not name.endswith("cdn-cache-control"):
            kept.append(header)
        elif name == "vary":
            vary += [part for part in map(str.strip, header[1].split(",")) if part and part.lower() != ours]
        elif name == "cache-control" and "no-transform" in header[1].lower():
            cache_control = "private, no-store, no-transform"
    kept.append(("Vary", ", ".join([*vary, request_header])))
    kept.append(("Cache-Control", cache_control))
    return kept


def is_public(headers: Iterable[Header]) -> bool:
    """Tell whether the response says that shared caches may keep it, so that it must be the same for everybody."""
    values = [value for name, value in headers if name.lower() == "cache-control"]
    return any(part.strip().lower() == "public" for value in values for part in value.split(","))
