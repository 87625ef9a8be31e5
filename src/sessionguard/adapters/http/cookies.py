"""The token in a cookie: how the cookie is named, limited and set, and how it is read from the raw header.

Frameworks disagree about cookies (which of two values counts, what is white space in a name, where a quoted value
ends), and each disagreement has let one user's cookie pass for another's; so the token is read here from the raw
bytes, by one rule.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar, Final

from attrs import Attribute, Factory, field, frozen
from attrs.validators import optional

from sessionguard.adapters.http.presented import NOTHING, Header, Presented
from sessionguard.core.instants import with_unit
from sessionguard.errors import ConfigurationError

MAX_COOKIE_BYTES: Final = 4096
"""What browsers keep of a cookie, its name and value together."""

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


def _age(_: Any, __: "Attribute[timedelta | None]", value: object) -> None:
    # One second is the least that a cookie can say; none at all would delete it as it is set.
    if value is not None and (not isinstance(value, timedelta) or value < timedelta(seconds=1)):
        remedy = with_unit(value, "give a timedelta of a second or more, or None")
        raise ConfigurationError("SESSIONGUARD_COOKIE_MAX_AGE", value, remedy)


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
    max_age: timedelta | None = field(default=None, validator=_age)
    """How long browsers keep it, counted from when a token is handed out; None: until they are closed."""
    partitioned: bool = field(default=False, validator=_flag)
    """Whether browsers keep one for each site that embeds this one (CHIPS); needs Secure."""
    request_header: ClassVar[str] = "Cookie"
    _attributes: str = field(init=False, repr=False, eq=False)
    _key: bytes = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.samesite == "None" and not self.secure:
            raise ConfigurationError(
                "SESSIONGUARD_COOKIE_SAMESITE", "None", "browsers demand SESSIONGUARD_COOKIE_SECURE with it"
            )
        if self.partitioned and not self.secure:
            raise ConfigurationError(
                "SESSIONGUARD_COOKIE_PARTITIONED", True, "browsers demand SESSIONGUARD_COOKIE_SECURE with it"
            )
        self._check_prefix()
        domain = "" if self.domain is None else f"; Domain={self.domain}"
        secure = "; Secure" if self.secure else ""
        partitioned = "; Partitioned" if self.partitioned else ""
        attributes = f"; Path={self.path}{domain}{secure}; HttpOnly; SameSite={self.samesite}{partitioned}"
        object.__setattr__(self, "_attributes", attributes)
        object.__setattr__(self, "_key", self.name.encode("ascii"))

    def _check_prefix(self) -> None:
        # Browsers compare the prefixes without regard to case, and drop a cookie that breaks their rules.
        name = self.name.lower()
        if name.startswith(("__host-", "__secure-", "__http-")) and not self.secure:
            raise ConfigurationError("SESSIONGUARD_COOKIE_SECURE", False, f"the name {self.name} demands True")
        if name.startswith("__host-"):
            remedy = f"the name {self.name} forbids it; leave it out, or set SESSIONGUARD_COOKIE_NAME to __Secure-sg"
            if self.domain is not None:
                raise ConfigurationError("SESSIONGUARD_COOKIE_DOMAIN", self.domain, remedy)
            if self.path != "/":
                raise ConfigurationError("SESSIONGUARD_COOKIE_PATH", self.path, remedy)

    def read(self, values: Iterable[bytes]) -> Presented:
        """Give the token that the raw Cookie headers carry under exactly our name."""
        return read_token(values, self._key)

    def handing_out(self, token: str, expires: datetime | None) -> Header:
        """Give the header that has the browser keep `token`."""
        return "Set-Cookie", self.carrying(token, expires=expires)

    def taking_back(self) -> Header:
        """Give the header that has the browser forget its token."""
        return "Set-Cookie", self.deleting()

    def carrying(self, token: str, *, expires: datetime | None = None) -> str:
        """Give the Set-Cookie value that hands out `token`, kept until `expires` or else as long as is set.

        Raises:
            ConfigurationError: browsers would not keep it, because name and value exceed 4096 bytes.
        """
        if len(self.name) + len(token) > MAX_COOKIE_BYTES:
            raise ConfigurationError(
                "SESSIONGUARD_COOKIE_NAME", self.name, f"name and value must fit {MAX_COOKIE_BYTES} bytes"
            )
        until = ""
        if expires is not None:
            until = f"; Expires={format_datetime(expires, usegmt=True)}"
        elif self.max_age is not None:
            until = f"; Max-Age={self.max_age // timedelta(seconds=1)}"
        return f"{self.name}={token}{until}{self._attributes}"

    def deleting(self) -> str:
        """Give the Set-Cookie value that removes the cookie; its attributes equal those it was set with."""
        return f"{self.name}=; Expires={_EPOCH}; Max-Age=0{self._attributes}"


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
        return NOTHING if problem is None else Presented(None, problem)
    return Presented(found.decode("latin-1"), problem)


def _looks_like(pair: bytes, name: bytes) -> bool:
    """Tell whether a lenient parser could read the name of `pair` as `name`."""
    ours = name.decode("latin-1")
    return any(
        pair.decode(encoding, "replace").lstrip("= \t").partition("=")[0].strip() == ours
        for encoding in ("latin-1", "utf-8")
    )
