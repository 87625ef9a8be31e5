"""The application under FastAPI, with a guard that blocks, in threads."""

import asyncio
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request

from sessionguard.adapters.asgi import external_session
from sessionguard.adapters.fastapi import CurrentVisit, ExternalSession, OptionalSession, external_router, install
from tests.adapters.external.asgi_stage import ServerLoop, answer_of
from tests.adapters.external.stage import Answer, Backstage


class FastApiApp:
    """Sends requests to it."""

    @staticmethod
    def header(request: Any, name: str) -> str | None:
        """Give a header of FastAPI's request."""
        found: str | None = request.headers.get(name)
        return found

    def __init__(self, back: Backstage) -> None:
        self._loop = ServerLoop()
        self.app = app = FastAPI()
        install(app, back.guard, external=back.ids)
        app.include_router(external_router())

        @app.post("/login")
        async def login(owner: str, visit: CurrentVisit) -> None:
            await visit.login(owner)

        @app.post("/logout")
        async def logout(visit: CurrentVisit) -> None:
            await visit.logout()

        @app.api_route("/work", methods=["GET", "HEAD", "POST"])
        async def work(
            request: Request, session: ExternalSession, visitor: OptionalSession, document: str | None = None
        ) -> dict[str, Any]:
            assert await external_session(request) is session
            return await asyncio.to_thread(back.work, session, visitor, document)

        @app.get("/plain")
        async def plain() -> str:
            return "plain"

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        return self._loop.run(answer_of(self.app, method, url, headers, body))

    def close(self) -> None:
        self._loop.close()
