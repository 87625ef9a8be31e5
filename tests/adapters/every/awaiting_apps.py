"""The application under frameworks that await: ASGI without a framework, FastAPI in coroutines and in threads."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ClassVar, TypeVar

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from sessionguard import AsyncSessionGuard, Session, SessionGuard, current_session
from sessionguard.adapters import settings
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.fastapi import CurrentThreadVisit, CurrentVisit, install
from tests.adapters.every.blocking_apps import aside
from tests.adapters.every.house import METHODS, At, Awaited, House, Page, Stream, run
from tests.adapters.every.sending import read_aside, send_asgi
from tests.adapters.external.asgi_stage import ServerLoop
from tests.adapters.external.stage import Answer

R = TypeVar("R")


class AwaitingApp:
    """What these have in common: a guard that is awaited, in the one event loop of a server."""

    token_form: ClassVar[str] = "token"
    answers_errors: ClassVar[bool] = True

    def __init__(self, house: House) -> None:
        self.house = house
        self.loop = ServerLoop()
        self.guard: Any = self.guard_of(house)
        self.guard.subscribe(house.events.append)
        self.asgi: Any = None

    def guard_of(self, house: House) -> Any:
        """Give the guard."""
        return AsyncSessionGuard(house.store, house.workspaces, house.policy, clock=house.clock, sweep_interval=None)

    @property
    def options(self) -> dict[str, Any]:
        """The settings, as arguments."""
        found = settings.read(self.house.config, settings.KNOWN | {"CHECK_INTERVAL"})
        interval = {"check_interval": found["CHECK_INTERVAL"]} if "CHECK_INTERVAL" in found else {}
        return settings.options_of(found) | interval

    async def seen(self, path: str, fields: Callable[[], Any], visit: Callable[[], Any]) -> Page | Stream:
        """Give what the view of `path` answers."""
        return as_page(await self.house.views[path](At(fields, visit, self.guard, read_aside)))

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        return self.loop.run(send_asgi(self.asgi, method, url, headers, body))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run(work)

    def current(self) -> list[Session | None]:
        async def look() -> list[Session | None]:
            in_threads = [await read_aside(current_session), await anyio.to_thread.run_sync(current_session)]
            return [current_session(), *in_threads]

        return self.loop.run(look())

    def close(self) -> None:
        self.loop.run(self.guard.close())
        self.loop.close()


def as_page(answer: Any) -> Page | Stream:
    """Give what a view gave as a response."""
    return answer if isinstance(answer, Page | Stream) else Page(str(answer))


class AsgiApp(AwaitingApp):
    """Without a framework."""

    answers_errors: ClassVar[bool] = False

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.asgi = SessionGuardMiddleware(self._serve, self.guard, **self.options)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        answer = await self.seen(scope["path"], lambda: scope["session"], lambda: scope["state"]["sessionguard"])
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        status = 200 if isinstance(answer, Stream) else answer.status
        await send({"type": "http.response.start", "status": status, "headers": headers})
        pieces = iter(answer.pieces) if isinstance(answer, Stream) else iter([answer.text.encode()])
        while (piece := await read_aside(lambda: next(pieces, None))) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})


class FastApiApp(AwaitingApp):
    """Under FastAPI, with views that await."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.asgi = app = FastAPI()
        install(app, self.guard, **self.options)
        self.declare(app)

    def declare(self, app: FastAPI) -> None:
        """Declare the view."""

        @app.api_route("/{name}", methods=METHODS)
        async def view(name: str, request: Request, visit: CurrentVisit) -> Response:
            return respond(await self.seen(f"/{name}", lambda: request.session, lambda: visit))


class FastApiThreads(FastApiApp):
    """Under FastAPI, with views that block, in threads, and a guard that blocks."""

    def guard_of(self, house: House) -> Any:
        return SessionGuard(house.store, house.workspaces, house.policy, clock=house.clock, sweep_interval=None)

    def declare(self, app: FastAPI) -> None:
        @app.api_route("/{name}", methods=METHODS)
        def view(name: str, request: Request, visit: CurrentThreadVisit) -> Response:
            at = At(lambda: request.session, lambda: Awaited(visit), Awaited(self.guard), aside)
            return respond(as_page(run(self.house.views[f"/{name}"](at))))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return run(work)

    def close(self) -> None:
        self.guard.close()
        self.loop.close()


def respond(answer: Page | Stream) -> Response:
    """Give FastAPI's response."""
    if isinstance(answer, Stream):
        return StreamingResponse(iter(answer.pieces), headers=dict(answer.headers))
    return PlainTextResponse(answer.text, answer.status, dict(answer.headers))
