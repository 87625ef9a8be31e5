"""From a store URL to a store: by the entry points of the group `sessionguard.stores`."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from sessionguard.errors import ConfigurationError
from sessionguard.stores.contract import AsyncStore, Store

Opener = Callable[[str, Mapping[str, str]], Store | AsyncStore]

GROUP: Final = "sessionguard.stores"


def open_store(url: str) -> Store | AsyncStore:
    """Give the store that `url` names, such as `sqlite:///var/sessions.db`. It connects at first use.

    The part before `://` is looked up among the entry points of the group `sessionguard.stores`; each names a
    function that takes the URL and the options behind its `?`.

    Raises:
        ConfigurationError: no store is registered under that name, or the URL does not suit it.
        MissingExtraError: the store needs a package that is not installed.
    """
    if not isinstance(url, str) or "://" not in url:
        raise ConfigurationError("store URL", without_password(str(url)), "write it as sqlite:///path.db or memory://")
    # Here, because it costs a fifth of the whole import, and a guard over a store object never needs it.
    from importlib.metadata import entry_points

    scheme = url.partition("://")[0].lower()
    found = entry_points(group=GROUP, name=scheme)
    if not found:
        known = ", ".join(sorted({f"{entry.name}://" for entry in entry_points(group=GROUP)}))
        raise ConfigurationError(
            "store URL", without_password(url), f"no store is registered for {scheme}://; there are: {known}"
        )
    opener: Opener = next(iter(found)).load()
    return opener(url, _options(url))


def _options(url: str) -> Mapping[str, str]:
    pairs = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError("store URL", without_password(url), "give each option once")
    return options


def without_password(url: str) -> str:
    """Give `url` with its password, if it has one, replaced by stars."""
    if "://" not in url and "@" in url:
        return "(not a URL)"
    try:
        password = urlsplit(url).password
    except ValueError:
        return "(not a URL)"
    return url if not password else url.replace(f":{password}@", ":***@", 1)
