"""The application under Django, with its protection from forged requests switched on."""

import threading
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, ClassVar

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from sessionguard.adapters.django import guards
from sessionguard.adapters.django.external import aexternal_session, external_session

# It configures Django, once for all tests of a process.
from tests.adapters.django import project
from tests.adapters.external.stage import HOST, Answer, Backstage
from tests.adapters.external.wsgi_sending import send_wsgi

MIDDLEWARE = [
    "sessionguard.adapters.django.middleware.SessionGuardMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]


class DjangoApp:
    """Sends requests to it. Settings are those of the process, so the last one that was sent to has its own."""

    FOLDER: ClassVar[Any] = project.FOLDER
    active: ClassVar["DjangoApp | None"] = None
    _turn: ClassVar[threading.Lock] = threading.Lock()

    @staticmethod
    def header(request: Any, name: str) -> str | None:
        """Give a header of Django's request."""
        found: str | None = request.headers.get(name)
        return found

    def __init__(self, back: Backstage) -> None:
        self.back = back
        self._settings = ExitStack()
        self._handler: Any = None

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        with DjangoApp._turn:
            self._go_on()
        return send_wsgi(self._handler, method, url, headers, body)

    def _go_on(self) -> None:
        if DjangoApp.active is self:
            return
        if DjangoApp.active is not None:
            DjangoApp.active.close()
        DjangoApp.active = self
        changed = override_settings(
            ROOT_URLCONF="tests.adapters.external.django_stage",
            MIDDLEWARE=MIDDLEWARE,
            ALLOWED_HOSTS=[HOST],
            SESSIONGUARD_EXTERNAL_IDS=self.back.ids,
        )
        self._settings.enter_context(changed)
        guards.use(self.back.guard)
        self._handler = WSGIHandler()

    def close(self) -> None:
        if DjangoApp.active is self:
            DjangoApp.active = None
            guards.close()
            self._settings.close()


@csrf_exempt
def login(request: HttpRequest) -> HttpResponse:
    """Log the visitor in."""
    request.sessionguard.login(request.GET["owner"])  # type: ignore[attr-defined]
    return HttpResponse()


@csrf_exempt
def logout(request: HttpRequest) -> HttpResponse:
    """Log the visitor out."""
    request.sessionguard.logout()  # type: ignore[attr-defined]
    return HttpResponse()


@csrf_exempt
def work(request: HttpRequest) -> HttpResponse:
    """Work on the workflow that the request names."""
    session = external_session(request)
    assert external_session(request) is session
    app = DjangoApp.active
    assert app is not None
    visitor = request.sessionguard.session()  # type: ignore[attr-defined]
    return JsonResponse(app.back.work(session, visitor, request.GET.get("document")))


def plain(request: HttpRequest) -> HttpResponse:
    """Give what depends on nobody."""
    return HttpResponse("plain")


async def awaited(request: HttpRequest) -> HttpResponse:
    """Tell which session the request names."""
    session = await aexternal_session(request)
    assert session is not None
    assert await aexternal_session(request) is session
    return HttpResponse(session.external_id)


urlpatterns = [
    path("awaited", awaited),
    path("login", login),
    path("logout", logout),
    path("work", work),
    path("plain", plain),
    path("", include("sessionguard.adapters.django.external")),
]
