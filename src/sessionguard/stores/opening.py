"""From a store URL to a store: by the entry points of the group `sessionguard.stores`."""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from sessionguard.errors import ConfigurationError
from sessionguard.stores.contract import AsyncStore, Store

Opener = Callable[[str, Mapping[str, str]], Store | AsyncStore]

GROUP: Final = "sessionguard.stores"

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII | re.IGNORECASE)


def open_store(url: str) -> Store | AsyncStore:
    """Give the store that `url` names, such as `sqlite:///var/sessions.db`. It connects at first use.

    The part before `://` is looked up among the entry points of the group `sessionguard.stores`; each names a
    function that takes the URL and the options behind its `?`.

    Raises:
        ConfigurationError: no store is registered under that name, or the URL does not suit it.
        MissingExtraError: the store needs a package that is not installed.
    """
    scheme, separator, _ = url.partition("://") if isinstance(url, str) else ("", "", "")
    # A scheme that is none may be the beginning of a password.
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ConfigurationError.of_url(url, "write it as sqlite:///path.db or memory://")
    # Here, because it costs a fifth of the whole import, and a guard over a store object never needs it.
    from importlib.metadata import entry_points

    scheme = scheme.lower()
    found = entry_points(group=GROUP, name=scheme)
    if not found:
        known = ", ".join(sorted({f"{entry.name}://" for entry in entry_points(group=GROUP)}))
        raise ConfigurationError.of_url(url, f"no store is registered for {scheme}://; there are: {known}")
    # One package found twice on the path names the same function twice; two packages are a matter for the developer.
    different = {entry.value: entry for entry in found}
    if len(different) > 1:
        raise ConfigurationError.of_url(
            url, f"several packages offer {scheme}://: {', '.join(sorted(different))}; uninstall all but one"
        )
    opener: Opener = next(iter(different.values())).load()
    return opener(url, _options(url))


def _options(url: str) -> Mapping[str, str]:
    # Not as a form is read: there + is a space, and here it is part of a path or a password.
    pieces = [piece.partition("=") for piece in url.partition("?")[2].split("&") if piece]
    pairs = [(unquote(name), unquote(value)) for name, _, value in pieces]
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError.of_url(url, "give each option once")
    return options
