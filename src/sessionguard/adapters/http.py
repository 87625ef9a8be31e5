"""What HTTP asks of any adapter, without any framework: the cookie, the headers, the status of an error.

Everything here is a pure function of its arguments. Frameworks disagree about cookies (which of two values
counts, what is white space in a name, where a quoted value ends), and each disagreement has let one user's
cookie pass for another's; so the token is read here from the raw bytes, by one rule.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import Attribute, Factory, field, frozen
from attrs.validators import optional

from sessionguard import errors
from sessionguard.errors import ConfigurationError, SessionGuardError

MAX_COOKIE_BYTES: Final = 4096
"""What browsers keep of a cookie, its name and value together."""
CLEAR_SITE_DATA: Final = '"cache", "storage"'
"""Sent at logout. Not "cookies": that would also take the cookie of a session opened by the same response
(a farewell message, say) and the cookies of every other application under the same domain."""

_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_PATH: Final = re.compile(r"/[!-:<-~]*")
_EPOCH: Final = "Thu, 01 Jan 1970 00:00:00 GMT"


# The cookie


def _flag(_: Any, attribute: "Attribute[bool]", value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"SESSIONGUARD_COOKIE_{attribute.name.upper()}", value, "give True or False")


def _matching(pattern: re.Pattern[str], remedy: str) -> Any:
    def validate(_: Any, attribute: "Attribute[str]", value: object) -> None:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ConfigurationError(f"SESSIONGUARD_COOKIE_{attribute.name.upper()}", value, remedy)

    return validate


def _same_site(_: Any, attribute: "Attribute[str]", value: object) -> None:
    if value not in {"Lax", "Strict", "None"}:
        raise ConfigurationError("SESSIONGUARD_COOKIE_SAMESITE", value, 'give "Lax", "Strict" or, with Secure, "None"')


@frozen(kw_only=True)
class CookieSettings:
    """How the cookie that carries the token is named and limited. It is always HttpOnly.

    Raises:
        ConfigurationError: a value is not possible, or browsers would refuse or misuse the combination.
    """

    secure: bool = field(default=True, validator=_flag)
    """Whether browsers send it over HTTPS only (and to localhost). Without it anyone on the way can read it."""
    name: str = field(
        default=Factory(lambda self: "__Host-sg" if self.secure is True else "sg", takes_self=True),
        validator=_matching(_COOKIE_NAME, "use 1 to 256 letters, digits or - _ . and no separators"),
    )
    """`__Host-sg`, which no sibling domain can plant; `sg` without Secure."""
    samesite: str = field(default="Lax", validator=_same_site)
    path: str = field(default="/", validator=_matching(_PATH, "begin with / and use printable ASCII without ;"))
    domain: str | None = field(
        default=None,
        validator=optional(_matching(_DOMAIN, "give a host name such as example.org, without a leading dot, or None")),
    )
    """None: this host only. A domain shares the cookie with every host below it."""
    _attributes: str = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.samesite == "None" and not self.secure:
            raise ConfigurationError("SESSIONGUARD_COOKIE_SAMESITE", "None", "browsers demand COOKIE_SECURE with it")
        self._check_prefix()
        domain = "" if self.domain is None else f"; Domain={self.domain}"
        secure = "; Secure" if self.secure else ""
        object.__setattr__(
            self, "_attributes", f"; Path={self.path}{domain}{secure}; HttpOnly; SameSite={self.samesite}"
        )

    def _check_prefix(self) -> None:
        # Browsers compare the prefixes without regard to case, and drop a cookie that breaks their rules.
        name = self.name.lower()
        if name.startswith(("__host-", "__secure-", "__http-")) and not self.secure:
            raise ConfigurationError("SESSIONGUARD_COOKIE_SECURE", False, f"the name {self.name} demands True")
        if name.startswith("__host-"):
            remedy = f"the name {self.name} forbids it; leave it out, or set COOKIE_NAME to __Secure-sg"
            if self.domain is not None:
                raise ConfigurationError("SESSIONGUARD_COOKIE_DOMAIN", self.domain, remedy)
            if self.path != "/":
                raise ConfigurationError("SESSIONGUARD_COOKIE_PATH", self.path, remedy)

    def carrying(self, token: str, *, expires: datetime | None = None) -> str:
        """Give the Set-Cookie value that hands out `token`, kept until `expires` or until the browser closes.

        Raises:
            ConfigurationError: browsers would not keep it, because name and value exceed 4096 bytes.
        """
        if len(self.name) + len(token) > MAX_COOKIE_BYTES:
            raise ConfigurationError(
                "SESSIONGUARD_COOKIE_NAME", self.name, f"name and value must fit {MAX_COOKIE_BYTES} bytes"
            )
        until = "" if expires is None else f"; Expires={format_datetime(expires, usegmt=True)}"
        return f"{self.name}={token}{until}{self._attributes}"

    def deleting(self) -> str:
        """Give the Set-Cookie value that removes the cookie; its attributes equal those it was set with."""
        return f"{self.name}=; Expires={_EPOCH}; Max-Age=0{self._attributes}"


@frozen(repr=False)
class Presented:
    """What a request carries under our cookie's name. The token is not judged yet."""

    token: str | None
    problem: str | None = None
    """Why something in the header was not taken: "several cookies" or "lookalike cookie"."""


_NOTHING: Final = Presented(None)


def read_token(headers: Iterable[bytes], name: bytes) -> Presented:
    """Give the token that the raw Cookie `headers` carry under exactly `name`.

    Two values of our name are none at all: one was planted, and nothing tells which. A name that only looks
    like ours (a stray byte that some parser takes for white space, a cookie without a name) is not ours.
    """
    found: bytes | None = None
    problem: str | None = None
    for header in headers:
        if name not in header:
            continue
        # Quotes do not protect a semicolon: a cookie of another application that opens one must not swallow ours.
        for pair in header.split(b";"):
            key, equals, value = pair.strip(b" \t").partition(b"=")
            if key == name and equals:
                if found is not None:
                    return Presented(None, "several cookies")
                found = value
            elif name in pair and _looks_like(pair, name):
                problem = "lookalike cookie"
    if found is None:
        return _NOTHING if problem is None else Presented(None, problem)
    return Presented(found.decode("latin-1"), problem)


def _looks_like(pair: bytes, name: bytes) -> bool:
    """Tell whether a lenient parser could read the name of `pair` as `name`."""
    ours = name.decode("latin-1")
    return any(
        pair.decode(encoding, "replace").lstrip("= \t").partition("=")[0].strip() == ours
        for encoding in ("latin-1", "utf-8")
    )


# What only a proxy adds. One that does not say what it speaks to the client may speak HTTPS.
_TRACES_OF_A_PROXY: Final = (
    "HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_SSL", "HTTP_FRONT_END_HTTPS", "HTTP_VIA",
)  # fmt: skip


def is_plain(environ: Mapping[str, Any]) -> bool:
    """Tell whether the client surely spoke plain HTTP, so that a Secure cookie is lost. For advice: clients can lie."""
    if environ.get("wsgi.url_scheme") != "http":
        return False
    spoken = environ.get("HTTP_X_FORWARDED_PROTO")
    if spoken is not None:
        return "https" not in spoken.lower()
    return not any(name in environ for name in _TRACES_OF_A_PROXY)


# The headers

# What shared caches obey before Cache-Control, or beside it.
_CACHE_OVERRIDES: Final = frozenset({"expires", "surrogate-control", "x-accel-expires", "edge-control"})


def private_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give the `headers` of a response that depends on a session.

    No shared cache may keep it, whatever the view said: a response with `public` reaches other users.
    """
    kept: list[tuple[str, str]] = []
    vary: list[str] = []
    cache_control = "private, no-store"
    for header in headers:
        name = header[0].lower()
        if name == "vary":
            vary += [part for part in map(str.strip, header[1].split(",")) if part and part.lower() != "cookie"]
        elif name == "cache-control":
            if "no-transform" in header[1].lower():
                cache_control = "private, no-store, no-transform"
        elif name not in _CACHE_OVERRIDES and not name.endswith("cdn-cache-control"):
            kept.append(header)
    kept.append(("Vary", ", ".join([*vary, "Cookie"])))
    kept.append(("Cache-Control", cache_control))
    return kept


# The status


@frozen
class Answer:
    """How an error is told to a client: nothing but a status, and when to try again."""

    status: int
    retry_after_seconds: int | None = None


_FAULT: Final = Answer(500)

ANSWERS: Final[Mapping[type[SessionGuardError], Answer]] = MappingProxyType(
    {
        # An outage is not "nobody": a visitor who was told so would open a second session.
        errors.StoreUnavailableError: Answer(503, retry_after_seconds=5),
        errors.StoreTimeoutError: Answer(503, retry_after_seconds=1),
        errors.WorkspaceUnavailableError: Answer(503, retry_after_seconds=5),
        errors.LockTimeoutError: Answer(503, retry_after_seconds=1),
        errors.LockLostError: Answer(503, retry_after_seconds=1),
        errors.SessionEndedError: Answer(409),
        errors.SessionConflictError: Answer(409),
        errors.SessionLimitError: Answer(409),
        errors.LeaseLostError: Answer(409),
        errors.SessionTooLargeError: Answer(413),
        errors.QuotaExceededError: Answer(413),
        errors.PathEscapeError: Answer(400),
        errors.ArchiveRefusedError: Answer(400),
        errors.InvalidArgumentError: Answer(400),
    }
)
"""The one table from errors to statuses. What is not in it is the program's or the store's fault: 500."""


def answer_to(error: SessionGuardError) -> Answer:
    """Give how `error`, or the nearest of its base classes in the table, is told to a client."""
    return next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), _FAULT)
