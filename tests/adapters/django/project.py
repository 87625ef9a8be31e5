"""A Django project whose views a test writes where it needs them, over a store that is watched and can fail.

Django is configured once for a process; what a test changes, it changes with `override_settings`.
"""

import secrets
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final

import django
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import override_settings
from django.urls import include, path

from sessionguard import SessionGuard
from sessionguard.core.events import Event
from tests.adapters.site import Clock, WatchedStore

FOLDER: Final = Path(tempfile.gettempdir(), f"sessionguard-django-{secrets.token_hex(8)}")
"""Made by the first test that runs here: other processes only collect."""
ENGINE: Final = "sessionguard.adapters.django.engine"
COOKIE: Final = "sessionid"

settings.configure(
    SECRET_KEY="a key for tests that signs nothing of value",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF="tests.adapters.django.project",
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.admin",
        "sessionguard.adapters.django",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "tables.db"}},
    # Tables without the history of their changes, and passwords that cost no time.
    MIGRATION_MODULES=dict.fromkeys(("contenttypes", "auth", "sessions", "admin")),
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    SESSION_ENGINE=ENGINE,
    SESSION_COOKIE_SECURE=True,
    SESSIONGUARD_URL="memory://",
    USE_TZ=True,
    LOGIN_REDIRECT_URL="/",
)
django.setup()

View = Callable[[HttpRequest], Any]


class Project:
    """The guard of the process for one test, with its store, its clock and the views of the test."""

    def __init__(self, store: Any, workspaces: Any = None, *, policy: Any = None) -> None:
        self.clock = Clock()
        self.store = WatchedStore(store)
        self.guard = SessionGuard(
            self.store, workspaces, policy, clock=self.clock, sweep_interval=None, token_form="key"
        )
        self._changed = ExitStack()
        self.events: list[Event] = []
        self.guard.subscribe(self.events.append)
        del urlpatterns[: -len(_FIXED)]

    def view(self, function: View, name: str = "") -> View:
        """Serve `function` under its name, or another; what awaits, below `async/`."""
        name, served = name or function.__name__, _answering(function)
        urlpatterns.insert(0, path(f"async/{name}" if iscoroutinefunction(function) else name, served))
        return function

    def use(self, **changed: Any) -> None:
        """Go on with these settings, until the test ends."""
        self._changed.enter_context(override_settings(**changed))

    def leave(self) -> None:
        """Undo what `use` changed."""
        self._changed.close()

    def session_count(self) -> int:
        """Give how many sessions there ever were."""
        return sum(1 for _ in self.guard.sessions(status=None))

    def pass_time(self, duration: timedelta) -> None:
        """Let the clock of the guard, and Django's, go on."""
        self.clock.advance(duration)


def _answering(view: View) -> View:
    """Give `view` with whatever it gives as a response, and with its marks."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def answering_awaited(request: HttpRequest) -> HttpResponseBase:
            return _response(await view(request))

        return answering_awaited

    @wraps(view)
    def answering(request: HttpRequest) -> HttpResponseBase:
        return _response(view(request))

    return answering


def _response(answer: Any) -> HttpResponseBase:
    return answer if isinstance(answer, HttpResponseBase) else HttpResponse(str(answer))


def _fixed_urls() -> list[Any]:
    from django.contrib import admin

    return [path("admin/", admin.site.urls), path("accounts/", include("django.contrib.auth.urls"))]


_FIXED: Final = _fixed_urls()
urlpatterns = list(_FIXED)
