"""The application under Django, as it is served by WSGI and by ASGI."""

import shutil
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import ExitStack
from typing import Any, ClassVar, TypeVar

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from sessionguard import Session, current_session
from sessionguard.adapters.django import guards

# It configures Django, once for all tests of a process.
from tests.adapters.django import project
from tests.adapters.every.awaiting_apps import as_page
from tests.adapters.every.blocking_apps import BlockingApp
from tests.adapters.every.house import COOKIE, At, Awaited, House, Page, Stream, run
from tests.adapters.every.sending import read_aside, send_asgi
from tests.adapters.external.asgi_stage import ServerLoop
from tests.adapters.external.stage import HOST, Answer

R = TypeVar("R")

MIDDLEWARE = ["sessionguard.adapters.django.middleware.SessionGuardMiddleware"]


class DjangoApp(BlockingApp):
    """Under Django as it is served by WSGI. Its settings are those of the process while it is there."""

    token_form: ClassVar[str] = "key"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._settings = ExitStack()
        changed = override_settings(
            ROOT_URLCONF=self,
            MIDDLEWARE=MIDDLEWARE,
            ALLOWED_HOSTS=[HOST],
            SESSION_COOKIE_NAME=COOKIE,
            **house.config,
        )
        self._settings.enter_context(changed)
        try:
            guards.use(self.guard)
            self.load()
        except BaseException:
            self.close()
            raise

    @property
    def urlpatterns(self) -> list[Any]:
        """The one view, which Django finds here."""
        return [path("<name>", self.answer)]

    def load(self) -> None:
        """Begin to serve."""
        self.wsgi = WSGIHandler()

    def answer(self, request: HttpRequest, name: str) -> Any:
        """Give Django's response."""
        given: Any = request
        return respond(self.seen(f"/{name}", lambda: given.session, lambda: given.sessionguard))

    def close(self) -> None:
        guards.close()
        self._settings.close()
        super().close()

    @staticmethod
    def clean_up() -> None:
        """Take away what Django's project made."""
        shutil.rmtree(project.FOLDER, ignore_errors=True)


class DjangoAsgiApp(DjangoApp):
    """Under Django as it is served by ASGI, with a view that awaits."""

    def load(self) -> None:
        self.loop = ServerLoop()
        self.asgi = ASGIHandler()

    @property
    def urlpatterns(self) -> list[Any]:
        return [path("<name>", self.answer_awaited)]

    async def answer_awaited(self, request: HttpRequest, name: str) -> HttpResponseBase:
        """Give Django's response."""
        given: Any = request
        at = At(lambda: given.session, lambda: given.sessionguard, Awaited(self.guard), read_aside)
        answer = as_page(await self.house.views[f"/{name}"](at))
        if isinstance(answer, Stream):
            return StreamingHttpResponse(one_by_one(answer.pieces), headers=dict(answer.headers))
        return respond(answer)

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        return self.loop.run(send_asgi(self.asgi, method, url, headers, body))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return run(work)

    def current(self) -> list[Session | None]:
        async def look() -> list[Session | None]:
            return [current_session(), await read_aside(current_session)]

        return self.loop.run(look())

    def close(self) -> None:
        super().close()
        if hasattr(self, "loop"):
            self.loop.close()


async def one_by_one(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Give the pieces as they are made, in a thread."""
    made = iter(pieces)
    while (piece := await read_aside(lambda: next(made, None))) is not None:
        yield piece


def respond(answer: Page | Stream) -> HttpResponseBase:
    """Give Django's response."""
    if isinstance(answer, Stream):
        return StreamingHttpResponse(answer.pieces, headers=dict(answer.headers))
    return HttpResponse(answer.text, status=answer.status, headers=dict(answer.headers))
