"""Request headers as they came, before Django reads them."""

from django.http import HttpRequest


def header_values(request: HttpRequest, name: str) -> tuple[bytes, ...]:
    """Give the raw values of a header."""
    scope = getattr(request, "scope", None)
    if scope is not None:
        # Not from META, where Django puts a comma between several Cookie headers, so that the second is lost.
        key = name.lower().encode("ascii")
        return tuple(value for header, value in scope["headers"] if header.lower() == key)
    value = request.META.get("HTTP_" + name.upper().replace("-", "_"))
    return () if value is None else (value.encode("latin-1", "replace"),)
