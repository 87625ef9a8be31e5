"""Origins, and whether a request that changes something was sent by a page of another site.

That is told by Fetch Metadata (https://www.w3.org/TR/fetch-metadata/), which every browser of today sends over HTTPS
and no page can forge, else by the Origin header (RFC 6454). A program that is no browser sends neither, and is nobody's
unwitting hand.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

# Other schemes are those of browser extensions and of pages within apps.
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def valid_origin(origin: str) -> bool:
    """Tell whether `origin` is one as browsers write it: scheme and host in lower case, no path, no default port."""
    found = _ORIGIN.fullmatch(origin)
    return found is not None and (found[3] is None or found[3] != _DEFAULT_PORTS.get(found[1]))


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
    if origin is None or is_of_host(origin, header("host")):
        return None
    return origin


def is_of_host(origin: str, host: str | None) -> bool:
    """Tell whether `origin` is that of a web page of `host`, the value of a Host header.

    Not by its scheme: a proxy that ends TLS leaves us with http.
    """
    found = _ORIGIN.fullmatch(origin.lower())
    default = None if found is None else _DEFAULT_PORTS.get(found[1])
    if found is None or default is None or host is None:
        return False
    return (found[2] + (found[3] or "")).removesuffix(default) == host.lower().removesuffix(default)
