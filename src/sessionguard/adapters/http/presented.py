"""What a request shows of a token, and by which header tokens come and go."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Protocol

from attrs import frozen

Header = tuple[str, str]


@frozen(repr=False)
class Presented:
    """What a request carries where our token is looked for. The token is not judged yet."""

    token: str | None
    problem: str | None = None
    """Why something there was not taken: "several cookies", "lookalike cookie" or "several headers"."""


NOTHING: Final = Presented(None)


class Transport(Protocol):
    """How tokens travel: `CookieSettings` or `HeaderSettings`."""

    @property
    def request_header(self) -> str:
        """The request header whose values are read; responses vary by it."""

    def read(self, values: Iterable[bytes]) -> Presented:
        """Give what the raw `values` of the request header carry."""

    def handing_out(self, token: str, expires: datetime | None) -> Header:
        """Give the header that gives `token` to the client, to be kept until `expires`."""

    def taking_back(self) -> Header:
        """Give the header that has the client forget its token."""
