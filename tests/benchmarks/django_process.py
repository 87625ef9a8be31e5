"""One Django project in a process of its own, for settings are those of a process: called over its standard streams.

    python -m tests.benchmarks.django_process none|sessionguard|django URL

For each line `PATH COUNT` it requests the path so often and prints how many seconds that took.
"""

import logging
import sys
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.urls import path

from tests.benchmarks.serving import ANSWER, WsgiClient

_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"
_GUARDED = "sessionguard.adapters.django"


def project(kind: str, url: str) -> dict[str, Any]:
    """Give the settings of a project that keeps its sessions in `kind` at `url`."""
    shared = {"ROOT_URLCONF": __name__, "ALLOWED_HOSTS": ["*"], "SECRET_KEY": "only measured", "USE_TZ": True}
    if kind == "none":
        return shared
    shared |= {"MIDDLEWARE": [_MIDDLEWARE], "INSTALLED_APPS": ["django.contrib.sessions"]}
    if kind == "sessionguard":
        apps = ["django.contrib.sessions", _GUARDED]
        return shared | {"INSTALLED_APPS": apps, "SESSION_ENGINE": f"{_GUARDED}.engine", "SESSIONGUARD_URL": url}
    if url.startswith("redis"):
        caches = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}}
        return shared | {"SESSION_ENGINE": "django.contrib.sessions.backends.cache", "CACHES": caches}
    return shared | {"DATABASES": {"default": _database(url)}}


def _database(url: str) -> dict[str, Any]:
    # Connections are kept: the peer is measured at its best.
    if url.startswith("sqlite"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.removeprefix("sqlite:///"), "CONN_MAX_AGE": None}
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql", "NAME": parts.path.lstrip("/"), "USER": parts.username or "",
        "PASSWORD": parts.password or "", "HOST": parts.hostname, "PORT": parts.port, "CONN_MAX_AGE": None,
    }  # fmt: skip


_counter = iter(range(10**9))


def _read(request: HttpRequest) -> HttpResponse:
    session = getattr(request, "session", None)
    return HttpResponse(ANSWER if session is None else session["name"])


def _write(request: HttpRequest) -> HttpResponse:
    session = getattr(request, "session", None)
    if session is not None:
        session["name"] = ANSWER.decode()
        session["n"] = next(_counter)
    return HttpResponse(ANSWER)


urlpatterns = [path("read", _read), path("write", _write)]


def main(kind: str, url: str) -> None:
    """Answer until there are no more lines."""
    logging.getLogger("sessionguard").setLevel(logging.ERROR)
    settings.configure(**project(kind, url))
    django.setup()
    if kind == "django" and not url.startswith("redis"):
        call_command("migrate", verbosity=0)
    client = WsgiClient(WSGIHandler())
    print("ready", flush=True)
    for line in sys.stdin:
        target, count = line.split()
        print(client.get(target, int(count)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
