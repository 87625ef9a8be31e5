"""Whether a request that changes something was sent by a page of another site.

By Fetch Metadata (https://www.w3.org/TR/fetch-metadata/), which every browser of today sends over HTTPS and no page can
forge, else by the Origin header (RFC 6454). A program that is no browser sends neither, and is nobody's unwitting hand.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def valid_origin(origin: str) -> bool:
    """Tell whether `origin` is one as browsers write it: scheme and host in lower case, no path, no default port."""
    found = _ORIGIN.fullmatch(origin)
    return found is not None and found[3] != _DEFAULT_PORTS[found[1]]


def foreign_origin(header: Callable[[str], str | None], trusted: Iterable[str] = ()) -> str | None:
    """Give which other site's page sent the request; None if it was our own, a trusted one, or no page at all.

    `header` gives a request header by its name in lower case, or None.
    """
    origin = header("origin")
    if origin is not None and origin in trusted:
        return None
    fetch_site = header("sec-fetch-site")
    if fetch_site is not None:
        # A sibling domain is another site here: whoever holds one must not act for our visitors.
        return None if fetch_site in {"same-origin", "none"} else origin or fetch_site
    if origin is None or _is_host_of(origin, header("host")):
        return None
    return origin


def _is_host_of(origin: str, host: str | None) -> bool:
    # Not the scheme: a proxy that ends TLS leaves us with http.
    found = _ORIGIN.fullmatch(origin)
    if found is None or host is None:
        return False
    default = _DEFAULT_PORTS[found[1]]
    return (found[2] + (found[3] or "")).removesuffix(default) == host.lower().removesuffix(default)
