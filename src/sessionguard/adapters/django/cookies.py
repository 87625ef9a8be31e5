"""The cookie in Django: one name for Django and for us, and how a response carries it.

By its name Django's test client logs in (`client.force_login`), and its error pages know what to hide.
"""

from collections.abc import Mapping
from http.cookies import Morsel
from typing import Any, ClassVar, Final

from django.conf import settings
from django.http.response import HttpResponseBase

from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.settings import transport_of

_KEY: Final = "COOKIE_NAME"


class _OurName(str):
    """A name of the cookie that we gave to Django, and not the project to us."""

    __slots__ = ()


def with_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give our settings with the name of the cookie that the project gave to Django, unless it gave us another."""
    if not _is_given() or _KEY in values or values.get("TRANSPORT", "cookie") != "cookie":
        return dict(values)
    return {**values, _KEY: settings.SESSION_COOKIE_NAME}


def share_name(values: Mapping[str, Any]) -> None:
    """Have Django call the cookie as our settings `values` do, unless the project gave it a name.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    transport = transport_of(values)
    if isinstance(transport, CookieSettings) and not _is_given():
        settings.SESSION_COOKIE_NAME = _OurName(transport.name)


def _is_given() -> bool:
    is_ours = isinstance(settings.SESSION_COOKIE_NAME, _OurName)
    return not is_ours and bool(settings.is_overridden("SESSION_COOKIE_NAME"))


class _Kept(Morsel[str]):
    """A cookie that may be partitioned, which Python knows from 3.14 on."""

    _reserved: ClassVar[dict[str, str]] = {**Morsel._reserved, "partitioned": "Partitioned"}  # type: ignore[attr-defined]
    _flags: ClassVar[set[str]] = {*Morsel._flags, "partitioned"}  # type: ignore[attr-defined]


def put(response: HttpResponseBase, header: str) -> None:
    """Have `response` set the cookie of a Set-Cookie `header` of ours: Django sends none that stands in a header.

    Not by `SimpleCookie.load`, which drops without a word the cookie that has an attribute it does not know.
    """
    pair, *attributes = header.split("; ")
    name, _, value = pair.partition("=")
    kept = _Kept()
    kept.set(name, value, value)
    for attribute in attributes:
        key, equals, said = attribute.partition("=")
        kept[key] = said if equals else True
    response.cookies[name] = kept
