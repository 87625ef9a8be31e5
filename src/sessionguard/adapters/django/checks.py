"""System checks: what `manage.py check` says about the settings, each with the remedy."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error, Info, Warning
from django.urls import URLPattern, get_resolver
from django.utils.module_loading import import_string

from sessionguard.adapters.django import guards, values
from sessionguard.adapters.settings import OF_GUARD, PREFIX, transport_of
from sessionguard.errors import ConfigurationError

ENGINE: Final = "sessionguard.adapters.django.engine"
DJANGO_MIDDLEWARE: Final = "django.contrib.sessions.middleware.SessionMiddleware"
OUR_MIDDLEWARE: Final = "sessionguard.adapters.django.middleware.SessionGuardMiddleware"
_USERS_OF_SESSIONS: Final = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
_CSRF: Final = "django.middleware.csrf.CsrfViewMiddleware"
_OF_MIDDLEWARE: Final = frozenset(PREFIX + name for name in guards.KNOWN - OF_GUARD - {"STORE", "SCOPE"})
"""The settings of requests, which Django's own session middleware does not ask for."""
_EXTERNAL: Final = "sessionguard.adapters.django.external"
_CACHE: Final = "django.middleware.cache.UpdateCacheMiddleware"

_WITHOUT_SESSIONS: Final = Warning(
    "SESSION_ENGINE is ours, and no middleware gives requests a session",
    hint=f"put {OUR_MIDDLEWARE} into MIDDLEWARE, above those that use sessions",
    id="sessionguard.W016",
)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Check what the guard is opened with, and where Django is to find it."""
    found: list[CheckMessage] = []
    try:
        place = guards.opened(guards.read())
    except ConfigurationError as error:
        return [_error_of(error, "sessionguard.E001")]
    place.guard.close()
    if not uses_engine():
        hint = f'set SESSION_ENGINE = "{ENGINE}"'
        message = "SESSION_ENGINE is another one: clearsessions, and logins in tests, do not reach our sessions"
        if not uses_middleware():
            message = "the app is installed, but no session is kept in it"
        found.append(Warning(message, hint=hint, id="sessionguard.W002"))
    found += _check_serializer()
    if guards.url_of(guards.read()).startswith("memory:") and not settings.DEBUG:
        message = "sessions in memory: every worker has its own, and all are lost as it ends"
        hint = "name a store that all workers share in SESSIONGUARD_STORE"
        found.append(Warning(message, hint=hint, id="sessionguard.W004"))
    return found


def _error_of(error: ConfigurationError, found_id: str) -> CheckMessage:
    # The remedy once: Django shows the hint below the message.
    return Error(f"{error.setting} = {error.value}", hint=error.remedy, id=found_id)


def check_effect(**_: Any) -> list[CheckMessage]:
    """Check that no setting is there in vain: under the engine alone, Django's own settings say what those would."""
    if not uses_engine() or uses_middleware():
        return []
    vain = sorted(name for name in dir(settings) if name in _OF_MIDDLEWARE)
    if not vain:
        return []
    message = f"without our middleware these have no effect: {', '.join(vain)}"
    hint = f"put {OUR_MIDDLEWARE} in the place of {DJANGO_MIDDLEWARE}, or take them out"
    if any("COOKIE" in name for name in vain):
        hint += "; Django's cookie goes by SESSION_COOKIE_*"
    return [Warning(message, hint=hint, id="sessionguard.W013")]


def _check_serializer() -> list[CheckMessage]:
    try:
        values.stored({"a": 1}, import_string(settings.SESSION_SERIALIZER))
    except ConfigurationError as error:
        # A pickle runs whatever code is in it; and no other program could read it.
        return [_error_of(error, "sessionguard.E003")]
    return []


def check_external_ids(**_: Any) -> list[CheckMessage]:
    """Check that whoever has the routes of the session protocol says what an id can do, and has our middleware."""
    if not getattr(settings, "ROOT_URLCONF", None) or not _has_external_routes(get_resolver().url_patterns):
        return []
    found: list[CheckMessage] = []
    if not uses_middleware():
        message = "the routes of external ids need our middleware"
        found.append(Error(message, hint=f"put {OUR_MIDDLEWARE} into MIDDLEWARE", id="sessionguard.E014"))
    if getattr(settings, f"{PREFIX}EXTERNAL_IDS", None) is None:
        message = "the routes of external ids are there, and nothing says what an id can do"
        hint = f'set {PREFIX}EXTERNAL_IDS = "strict", or another policy'
        found.append(Error(message, hint=hint, id="sessionguard.E014"))
    return found


def _has_external_routes(patterns: Iterable[Any]) -> bool:
    return any(
        getattr(pattern.callback, "__module__", None) == _EXTERNAL
        if isinstance(pattern, URLPattern)
        else _has_external_routes(pattern.url_patterns)
        for pattern in patterns
    )


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Check that sessions are there before those who use them, and that no cache keeps what depends on one."""
    names = list(settings.MIDDLEWARE)
    sessions = [name for name in names if name == OUR_MIDDLEWARE or (name == DJANGO_MIDDLEWARE and uses_engine())]
    if not sessions:
        return [] if not uses_engine() or any(map(_gives_sessions, names)) else [_WITHOUT_SESSIONS]
    position = names.index(sessions[0])
    found: list[CheckMessage] = []
    if {OUR_MIDDLEWARE, DJANGO_MIDDLEWARE} <= set(names):
        message = "two session middlewares: the inner one gives requests another session than the outer one stores"
        found.append(Error(message, hint=f"take {DJANGO_MIDDLEWARE} away", id="sessionguard.E011"))
    for user in _users_of_sessions():
        if user in names[:position]:
            hint = "move the session middleware above it"
            found.append(Error(f"{user} comes before the sessions it uses", hint=hint, id="sessionguard.E005"))
    if _CACHE in names[position:]:
        message = f"{_CACHE} comes after the sessions: it keeps responses before they are marked as one visitor's own"
        found.append(Error(message, hint="move it to the top of MIDDLEWARE", id="sessionguard.E006"))
    return found


def _gives_sessions(name: str) -> bool:
    """Tell whether this middleware gives requests a session, be it one of the project."""
    try:
        middleware = import_string(name)
    except ImportError:
        # Django tells of it when it is to serve.
        return False
    return isinstance(middleware, type) and issubclass(middleware, SessionMiddleware)


def _users_of_sessions() -> Sequence[str]:
    return (*_USERS_OF_SESSIONS, _CSRF) if settings.CSRF_USE_SESSIONS else _USERS_OF_SESSIONS


def check_cookie(**_: Any) -> list[CheckMessage]:
    """Check the cookie: its flags where Django sets it, its name where we do."""
    if uses_middleware():
        return _check_our_cookie()
    if not uses_engine() or DJANGO_MIDDLEWARE not in settings.MIDDLEWARE:
        return []
    found: list[CheckMessage] = []
    name = str(settings.SESSION_COOKIE_NAME).lower()
    if not settings.SESSION_COOKIE_HTTPONLY:
        message = "SESSION_COOKIE_HTTPONLY = False: any script on the page can read the session key"
        found.append(Warning(message, hint="set it to True", id="sessionguard.W007"))
    if not settings.SESSION_COOKIE_SECURE and not settings.DEBUG:
        message = "SESSION_COOKIE_SECURE = False: anyone on the way can read the session key"
        found.append(Warning(message, hint="set it to True, and serve over HTTPS", id="sessionguard.W008"))
    if settings.SESSION_COOKIE_SAMESITE == "None" and not settings.SESSION_COOKIE_SECURE:
        message = "browsers do not keep a cookie with SESSION_COOKIE_SAMESITE = 'None' that is not Secure"
        found.append(Error(message, hint="set SESSION_COOKIE_SECURE = True", id="sessionguard.E009"))
    if name.startswith("__host-") and not _is_fit_for_host_prefix():
        message = f"browsers do not keep a cookie {settings.SESSION_COOKIE_NAME} that has a domain, a path or no Secure"
        hint = "set SESSION_COOKIE_SECURE = True, SESSION_COOKIE_DOMAIN = None and SESSION_COOKIE_PATH = '/'"
        found.append(Error(message, hint=hint, id="sessionguard.E010"))
    return found


def _check_our_cookie() -> list[CheckMessage]:
    try:
        transport = transport_of(guards.read())
    except ConfigurationError:
        # Told by the check of the settings.
        return []
    found: list[CheckMessage] = []
    ours = getattr(transport, "name", None)
    if ours != settings.SESSION_COOKIE_NAME:
        message = f"tests that call client.force_login set the cookie {settings.SESSION_COOKIE_NAME}, which is not ours"
        found.append(Info(message, hint=f"set SESSION_COOKIE_NAME = {ours!r}", id="sessionguard.I012"))
    if not getattr(transport, "secure", True) and not settings.DEBUG:
        message = f"{PREFIX}COOKIE_SECURE = False: anyone on the way can read the token"
        hint = "take it out, and serve over HTTPS; SESSION_COOKIE_SECURE says nothing about this cookie"
        found.append(Warning(message, hint=hint, id="sessionguard.W015"))
    return found


def _is_fit_for_host_prefix() -> bool:
    is_bare = settings.SESSION_COOKIE_DOMAIN is None and settings.SESSION_COOKIE_PATH == "/"
    return is_bare and bool(settings.SESSION_COOKIE_SECURE)


def uses_middleware() -> bool:
    """Tell whether requests have their sessions from our middleware."""
    return OUR_MIDDLEWARE in settings.MIDDLEWARE


def uses_engine() -> bool:
    """Tell whether Django keeps its sessions here."""
    return bool(settings.SESSION_ENGINE == ENGINE)
