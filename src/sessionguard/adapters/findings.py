"""What `doctor` tells of the settings of an application, beside what it finds in the store."""

from collections.abc import Iterator

from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.visits import VisitRules
from sessionguard.core.findings import Finding


def findings_of(rules: VisitRules) -> Iterator[Finding]:
    """Give what is risky about the cookie that `rules` describe."""
    transport = rules.transport
    if not isinstance(transport, CookieSettings):
        return
    if not transport.secure:
        message = "the cookie is sent over plain HTTP, too, where anyone on the way can read the token"
        yield Finding("warning", "cookie", message, "leave SESSIONGUARD_COOKIE_SECURE out, and serve over HTTPS")
    if transport.domain is not None:
        message = f"every host below {transport.domain} gets the cookie"
        yield Finding("warning", "cookie", message, "leave SESSIONGUARD_COOKIE_DOMAIN out, unless they share logins")
