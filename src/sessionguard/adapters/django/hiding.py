"""What Django's error pages, and its mails to ADMINS, show of a request: no token, and no password of a store.

Django hides by name, and knows one cookie; a token has other names on its way, in our own frames as well as in those
of a view that asks for it. So what holds a token of the request is found here by its value.
"""

from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from django.conf import global_settings, settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter, get_default_exception_reporter_filter

from sessionguard.adapters.django.raw import header_values
from sessionguard.adapters.visits import Visit
from sessionguard.errors import without_secrets

_BINDINGS: Final = ("__Host-sgx-", "sgx-")
_PLACES: Final = frozenset({"SESSIONGUARD_URL", "SESSIONGUARD_STORE", "SESSIONGUARD_WORKSPACES"})
_LEAST_LENGTH: Final = 16
"""What is shorter is no token; hiding it wherever it stands would hide whatever somebody likes to plant."""


class TokenHidingFilter(SafeExceptionReporterFilter):
    """The filter of error reports, by default; one of the project's own should extend it."""

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """Give a setting as it may be shown: URLs of ours without their passwords."""
        if key in _PLACES and isinstance(value, str):
            return without_secrets(value)
        return super().cleanse_setting(key, value)

    def get_safe_request_meta(self, request: Any) -> dict[str, Any]:
        """Give the environment of the request, no token in it."""
        return dict(self._hidden(super().get_safe_request_meta(request).items(), tokens_of(request)))

    def get_safe_cookies(self, request: Any) -> dict[str, Any]:
        """Give the cookies of the request, no token among them."""
        return dict(self._hidden(super().get_safe_cookies(request).items(), tokens_of(request)))

    def get_traceback_frame_variables(self, request: Any, tb_frame: FrameType) -> Any:
        """Give the local variables of a frame, no token in them."""
        shown: Iterable[tuple[str, Any]] = super().get_traceback_frame_variables(request, tb_frame)
        if str(tb_frame.f_globals.get("__name__", "")).startswith("sessionguard."):
            # A token that was just made, which the request does not know yet.
            shown = [(name, self._cleansed_text(name, value)) for name, value in shown]
        return list(self._hidden(shown, tokens_of(request)))

    def _cleansed_text(self, name: str, value: Any) -> Any:
        return self.cleanse_setting(name, value) if isinstance(value, str | bytes) else value

    def _hidden(self, shown: Iterable[tuple[str, Any]], tokens: frozenset[str]) -> Iterator[tuple[str, Any]]:
        for name, value in shown:
            yield name, value if not tokens else self._without(value, tokens)

    def _without(self, value: Any, tokens: frozenset[str]) -> Any:
        try:
            text = repr(value)
        except Exception:
            # Django says so, too.
            return value
        if not any(token in text for token in tokens):
            return value
        for token in tokens:
            text = text.replace(token, self.cleansed_substitute)
        return _Shown(text)


class _Shown:
    """Is shown as a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def tokens_of(request: Any) -> frozenset[str]:
    """Give what `request` came with and what it is about to get that opens a session; nothing is asked of a store."""
    if not isinstance(request, HttpRequest):
        return frozenset()
    return frozenset(token for token in _all_tokens(request) if len(token) >= _LEAST_LENGTH)


def _all_tokens(request: HttpRequest) -> Iterator[str]:
    names, session = {settings.SESSION_COOKIE_NAME}, getattr(request, "session", None)
    visit = getattr(session, "visit", None)
    if isinstance(visit, Visit):
        flows = visit.flows
        yield flows.token or ""
        transport = flows.rules.transport
        names.add(getattr(transport, "name", ""))
        if transport.request_header != "Cookie":
            for carried in header_values(request, transport.request_header):
                yield carried.decode("latin-1").strip(" \t")
    else:
        yield getattr(session, "_session_key", None) or ""
    for header in header_values(request, "Cookie"):
        # Also those that were not taken, because there were several.
        for pair in header.decode("latin-1").split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            if name in names or name.startswith(_BINDINGS):
                yield value


def install() -> None:
    """Have Django ask our filter from now on, unless the project has one of its own."""
    try:
        chosen = settings.DEFAULT_EXCEPTION_REPORTER_FILTER
    except ImproperlyConfigured:
        # The engine may be imported before the project is set up; the app and the middleware come back afterwards.
        return
    if chosen == global_settings.DEFAULT_EXCEPTION_REPORTER_FILTER:
        settings.DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__name__}.{TokenHidingFilter.__qualname__}"
        get_default_exception_reporter_filter.cache_clear()  # type: ignore[attr-defined]
