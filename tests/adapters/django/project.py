"""A Django project whose views a test writes where it needs them, over a store that is watched and can fail.

Django is configured once for a process; what a test changes, it changes with `override_settings`.
"""

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import include, path

from sessionguard import SessionGuard
from sessionguard.core.events import Event
from tests.adapters.site import Clock, WatchedStore

FOLDER: Final = Path(tempfile.mkdtemp(prefix="sessionguard-django-"))
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
_views: dict[str, View] = {}


class Project:
    """The guard of the process for one test, with its store, its clock and the views of the test."""

    def __init__(self, store: Any, workspaces: Any = None, *, policy: Any = None) -> None:
        self.clock = Clock()
        self.store = WatchedStore(store)
        self.guard = SessionGuard(
            self.store, workspaces, policy, clock=self.clock, sweep_interval=None, token_form="key"
        )
        self.events: list[Event] = []
        self.guard.subscribe(self.events.append)
        _views.clear()

    def view(self, function: View) -> View:
        """Serve `function` under its name."""
        _views[function.__name__] = function
        return function

    def session_count(self) -> int:
        """Give how many sessions there ever were."""
        return sum(1 for _ in self.guard.sessions(status=None))

    def pass_time(self, duration: timedelta) -> None:
        """Let the clock of the guard, and Django's, go on."""
        self.clock.advance(duration)


def dispatch(request: HttpRequest, name: str) -> HttpResponseBase:
    """Answer with what the view called `name` gives."""
    answer = _views[name](request)
    return answer if isinstance(answer, HttpResponseBase) else HttpResponse(str(answer))


async def dispatch_async(request: HttpRequest, name: str) -> HttpResponseBase:
    """Answer with what the async view called `name` gives."""
    answer = await _views[name](request)
    return answer if isinstance(answer, HttpResponseBase) else HttpResponse(str(answer))


def _urls() -> list[Any]:
    from django.contrib import admin

    return [
        path("admin/", admin.site.urls),
        path("accounts/", include("django.contrib.auth.urls")),
        path("async/<name>", dispatch_async),
        path("<name>", dispatch),
    ]


urlpatterns = _urls()
