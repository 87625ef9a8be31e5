"""From a store URL to a store: by the entry points of the group `sessionguard.stores`."""

from typing import Final

from sessionguard import registry
from sessionguard.stores.contract import AsyncStore, Store

GROUP: Final = "sessionguard.stores"


def open_store(url: str) -> Store | AsyncStore:
    """Give the store that `url` names, such as `sqlite:///var/sessions.db`. It connects at first use.

    The part before `://` is looked up among the entry points of the group `sessionguard.stores`; each names a
    function that takes the URL and the options behind its `?`.

    Raises:
        ConfigurationError: no store is registered under that name, or the URL does not suit it.
        MissingExtraError: the store needs a package that is not installed.
    """
    found: Store | AsyncStore = registry.opened(
        url,
        GROUP,
        setting="store URL",
        noun="store",
        example="sqlite:///path.db, redis://host, postgresql://host/db or memory://",
    )
    return found
