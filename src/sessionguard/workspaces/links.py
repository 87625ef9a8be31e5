"""Short-lived links by which a browser fetches a file from the bucket itself."""

import re
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from sessionguard.core.instants import with_unit
from sessionguard.errors import InvalidArgumentError

DEFAULT_LINK: Final = timedelta(minutes=5)
MAX_LINK: Final = timedelta(minutes=15)
"""A link outlives a logout, and whoever gets hold of it may use it."""

# A media type as of RFC 9110, section 8.3.1, with parameters that need no quotes.
_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(?:; ?[A-Za-z0-9_.+-]{1,64}=[A-Za-z0-9_.+-]{1,64}){0,4}"
)
_PLAIN: Final = re.compile(r"[^A-Za-z0-9 !#$&+,.=@^_()\[\]-]")
# What RFC 8187, section 3.2.1, calls attr-char.
_UNQUOTED: Final = "!#$&+-.^_`|~"


def link_seconds(expires: timedelta) -> int:
    """Give the life of a link in whole seconds.

    Raises:
        InvalidArgumentError: it is none, or longer than `MAX_LINK`.
    """
    if not isinstance(expires, timedelta) or not timedelta(seconds=1) <= expires <= MAX_LINK:
        remedy = (
            f"give a timedelta from 1 second to {MAX_LINK.total_seconds() / 60:g} minutes: a link outlives a logout"
        )
        raise InvalidArgumentError("expires", expires, with_unit(expires, remedy))
    return int(expires.total_seconds())


def link_headers(filename: str, content_type: str) -> dict[str, str]:
    """Give what the bucket is to answer with, as parameters of a signed request.

    Raises:
        InvalidArgumentError: the media type is none.
    """
    if not isinstance(content_type, str) or _MEDIA_TYPE.fullmatch(content_type) is None:
        raise InvalidArgumentError("content_type", content_type, "give a media type such as text/csv; charset=utf-8")
    return {
        "ResponseContentDisposition": attachment(filename),
        "ResponseContentType": content_type,
        "ResponseCacheControl": "private, no-store",
    }


def attachment(filename: str) -> str:
    """Give a Content-Disposition under which a browser saves, and never shows, a file (RFC 6266, RFC 8187).

    Raises:
        InvalidArgumentError: the name is empty, or no text that can be sent.
    """
    if not isinstance(filename, str) or not filename or not filename.isprintable():
        raise InvalidArgumentError("filename", filename, "give the name of a file, without line breaks")
    try:
        encoded = quote(filename, safe=_UNQUOTED, encoding="utf-8")
    except UnicodeEncodeError:
        raise InvalidArgumentError("filename", filename, "give text that UTF-8 can hold") from None
    plain = _PLAIN.sub("_", filename)
    return f'attachment; filename="{plain}"' + ("" if plain == filename else f"; filename*=UTF-8''{encoded}")
