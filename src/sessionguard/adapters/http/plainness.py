"""Whether a client spoke plain HTTP, where it may not keep a Secure cookie."""

import functools
import logging
from collections.abc import Callable
from typing import Final

_log = logging.getLogger("sessionguard.adapters")

# What only a proxy adds. One that does not say what it speaks to the client may speak HTTPS.
_TRACES_OF_A_PROXY: Final = ("forwarded", "x-forwarded-for", "x-forwarded-ssl", "front-end-https", "via")


def is_plain(scheme: str, header: Callable[[str], str | None]) -> bool:
    """Tell whether the client surely spoke plain HTTP, so that a Secure cookie is lost. For advice: clients can lie.

    `header` gives a request header by its name in lower case, or None.
    """
    if scheme != "http":
        return False
    spoken = header("x-forwarded-proto")
    if spoken is not None:
        return "https" not in spoken.lower()
    return all(header(name) is None for name in _TRACES_OF_A_PROXY)


# Once per process: it is about how the application is run, not about this request.
@functools.cache
def warn_of_lost_cookie() -> None:
    """Tell the log that cookies may be lost."""
    _log.warning(
        "a Secure session cookie was set over plain HTTP, where many clients do not keep it, so that every request "
        "may be a new visitor; for local trials set SESSIONGUARD_COOKIE_SECURE=False, or where the "
        "middleware reads no settings give transport=CookieSettings(secure=False); elsewhere serve over HTTPS"
    )
