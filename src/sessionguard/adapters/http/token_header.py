"""The token in a header of its own, for clients that are no browsers and keep no cookies."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from attrs import Attribute, field, frozen

from sessionguard.adapters.http.presented import NOTHING, Header, Presented
from sessionguard.errors import ConfigurationError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
# Caches, servers and frameworks read these; a token there would be logged, stored or taken for something else.
_TAKEN: Final = frozenset({
    "accept", "age", "cache-control", "connection", "content-length", "content-type", "cookie", "date", "etag",
    "expires", "forwarded", "host", "location", "origin", "pragma", "referer", "server", "set-cookie",
    "transfer-encoding", "upgrade", "user-agent", "vary", "via",
})  # fmt: skip


def _header_name(_: Any, __: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise ConfigurationError(
            "SESSIONGUARD_HEADER_NAME", value, "use up to 64 letters, digits and -, a letter first"
        )
    if value.lower() in _TAKEN:
        raise ConfigurationError("SESSIONGUARD_HEADER_NAME", value, "HTTP uses this one; take one of your own")


@frozen(kw_only=True)
class HeaderSettings:
    """The header that carries the token, in both directions.

    Other sites cannot make a browser send it, and a page must keep the token where scripts can read it: take cookies
    for browsers.

    Raises:
        ConfigurationError: the name is not possible, or HTTP uses it already.
    """

    name: str = field(default="SessionGuard-Token", validator=_header_name)

    @property
    def request_header(self) -> str:
        """The request header whose values are read; responses vary by it."""
        return self.name

    def read(self, values: Iterable[bytes]) -> Presented:
        """Give the token in the one value; two values are none at all, for nothing tells which was planted."""
        found = [value.strip(b" \t") for value in values]
        if not found or found == [b""]:
            return NOTHING
        if len(found) > 1 or b"," in found[0]:
            return Presented(None, "several headers")
        return Presented(found[0].decode("latin-1"))

    def handing_out(self, token: str, expires: datetime | None) -> Header:
        """Give the header that gives `token` to the client; how long it keeps it is the client's affair."""
        return self.name, token

    def taking_back(self) -> Header:
        """Give the header that has the client forget its token: an empty one."""
        return self.name, ""
