"""`ExternalIds`: what an application says once about sessions that other programs name."""

import logging
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from attrs import Attribute, field, frozen

from sessionguard.adapters.external.bindings import Bindings
from sessionguard.adapters.external.policies import POLICIES, Bearer, Claim, Policy, Signed, Strict
from sessionguard.adapters.http import CookieSettings, Header
from sessionguard.adapters.http.origins import valid_origin
from sessionguard.core.arguments import valid_text
from sessionguard.core.session import Session
from sessionguard.errors import ConfigurationError, InvalidArgumentError

_log = logging.getLogger("sessionguard.adapters")

_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
NONCE_SCOPE: Final = "sessionguard-nonce"
"""The scope that remembers which signatures were used."""


def _refuse(setting: str, value: object, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"ExternalIds.{setting}", value, remedy)


def _policy(_: Any, __: "Attribute[Policy]", value: object) -> None:
    if not isinstance(value, POLICIES):
        names = ", ".join(f"{policy.__name__}(...)" for policy in POLICIES)
        raise _refuse("policy", value, f"give one of {names}")


def _scope(_: Any, __: "Attribute[str]", value: object) -> None:
    try:
        valid_text("scope", value)
    except InvalidArgumentError as error:
        raise _refuse("scope", value, error.remedy) from None
    if value == NONCE_SCOPE:
        raise _refuse("scope", value, "used signatures are remembered there; take another")


def _matching(pattern: re.Pattern[str], remedy: str) -> Any:
    def validate(_: Any, attribute: "Attribute[str]", value: object) -> None:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise _refuse(attribute.name, value, remedy)

    return validate


def _function(_: Any, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None and not callable(value):
        raise _refuse(attribute.name, value, "give a function, or None")


def _origins(_: Any, __: "Attribute[tuple[str, ...]]", value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(origin, str) and valid_origin(origin) for origin in value):
        raise _refuse("trusted_origins", value, 'give a tuple of origins such as ("https://app.example.org",)')


def _wall_clock() -> datetime:
    return datetime.now(UTC)


@frozen(kw_only=True)
class ExternalIds:
    """How sessions that other programs name are found, opened, cleared and shown.

    They are kept in a `scope` of their own, so that none of them is ever that of a browser's visitor.

    Raises:
        ConfigurationError: a setting is wrong; the message says what would do.
    """

    policy: Policy = field(factory=Strict, validator=_policy)
    scope: str = field(default="external", validator=_scope)
    parameter: str = field(default="_sid", validator=_matching(_PARAMETER, "use letters, digits, _ and -"))
    signature: str = field(default="_sig", validator=_matching(_PARAMETER, "use letters, digits, _ and -"))
    header: str = field(default="SessionGuard-Sid", validator=_matching(_HEADER, "use letters, digits and -"))
    """The request header that may carry the id, for programs that keep it out of URLs."""
    caller: Callable[[Any], Any] | None = field(default=None, validator=_function)
    """Gives the authenticated owner for a request of the framework, such as that of its API key, or None.

    Without, the caller is whom the visitor's session belongs to. It must not believe a header that clients can send.
    """
    may_debug: Callable[[Any], Any] | None = field(default=None, validator=_function)
    """Tells whether a request may see `GET /debug-sessions`. None: nobody may, and there is no such page."""
    workflow: Callable[[Session], Any] | None = field(default=None, validator=_function)
    """Gives what the debug page shows of how far the session's work has come, as JSON."""
    trusted_origins: tuple[str, ...] = field(default=(), validator=_origins)
    """Other sites whose pages may open and clear sessions of their visitors."""
    clock: Callable[[], datetime] = field(default=_wall_clock, validator=_function, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.signature == self.parameter:
            raise _refuse("signature", self.signature, "it must differ from parameter")
        if isinstance(self.policy, Bearer):
            _log.warning(
                "external ids are bearer secrets here: whoever sees a URL, a log or a Referer has the session "
                "(CWE-488, CWE-598); this is for demonstrations on one machine"
            )

    def required_beside(self, visitors: str, transport: object) -> None:
        """Refuse a scope in which the visitors' own sessions are, and to bind clients that keep no cookies."""
        if self.scope == visitors:
            raise _refuse("scope", self.scope, "sessions of visitors are in this one; the two must never mix")
        if isinstance(self.policy, Signed | Claim) and not isinstance(transport, CookieSettings):
            # A logout sees no cookies then, and could take none back: the next person would go on with the session.
            remedy = "it binds browsers by cookies, and tokens travel in a header; take Select, or the cookie"
            raise _refuse("policy", self.policy.name, remedy)

    def forgotten_at_logout(self, transport: object, cookie_headers: Iterable[bytes]) -> tuple[Header, ...]:
        """Give what has a browser forget the sessions to which it is bound, so that its next user gets none of them."""
        return tuple(cookie.taking_back() for cookie in Bindings.beside(transport).all(cookie_headers))
