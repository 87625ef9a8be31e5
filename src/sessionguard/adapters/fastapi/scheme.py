"""How the docs page of an application says that views want a session."""

from typing import Any, Final

from fastapi.openapi.models import APIKey
from fastapi.security.base import SecurityBase

from sessionguard.adapters.http import CookieSettings, Transport

SCHEME_NAME: Final = "sessionguard"
_DESCRIPTION: Final = "The token of the visitor's session, which a response that opens one sets."


class SessionScheme(SecurityBase):
    """What FastAPI looks for among the dependencies of a view. The application's own settings replace the model."""

    def __init__(self) -> None:
        self.model = APIKey.model_validate(scheme_of(CookieSettings()))
        self.scheme_name = SCHEME_NAME


def scheme_of(transport: Transport) -> dict[str, Any]:
    """Give the security scheme of an application whose tokens travel so."""
    is_cookie = isinstance(transport, CookieSettings)
    name = transport.name if isinstance(transport, CookieSettings) else transport.request_header
    return {"type": "apiKey", "description": _DESCRIPTION, "in": "cookie" if is_cookie else "header", "name": name}
