"""The cookies that bind a browser to sessions which it named: one for each name, so that two tabs have two."""

import re
from collections.abc import Iterable
from typing import Final

from attrs import frozen

from sessionguard.adapters.external.identifiers import fingerprint
from sessionguard.adapters.http import CookieSettings, Presented

MOST: Final = 32
"""How many a browser may hold: each takes about a hundred bytes, and servers refuse requests with too long headers."""

_SECURE: Final = "__Host-sgx-"
_PLAIN: Final = "sgx-"


@frozen
class Bindings:
    """How binding cookies are named and limited: as the cookie of the visitor, but never for other hosts."""

    secure: bool = True
    samesite: str = "Lax"

    @classmethod
    def beside(cls, transport: object) -> "Bindings":
        """Give those that go with the visitor's own cookie."""
        if isinstance(transport, CookieSettings):
            return cls(transport.secure, transport.samesite)
        return cls()

    def of(self, selected: str) -> CookieSettings:
        """Give the cookie that binds to what `selected` selects."""
        return self._named(fingerprint(selected))

    def _named(self, mark: str) -> CookieSettings:
        return CookieSettings(secure=self.secure, samesite=self.samesite, name=self._prefix + mark)

    @property
    def _prefix(self) -> str:
        return _SECURE if self.secure else _PLAIN

    def read(self, selected: str, cookie_headers: Iterable[bytes]) -> Presented:
        """Give the token with which the browser shows that it is bound to what `selected` selects."""
        return self.of(selected).read(cookie_headers)

    def all(self, cookie_headers: Iterable[bytes]) -> list[CookieSettings]:
        """Give the cookies by which the browser is bound to anything, each once."""
        name = re.compile(rb"(?:^|;)[ \t]*" + re.escape(self._prefix.encode()) + rb"([0-9a-f]{16})=")
        marks = dict.fromkeys(mark.decode() for header in cookie_headers for mark in name.findall(header))
        return [self._named(mark) for mark in marks]
