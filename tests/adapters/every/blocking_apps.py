"""The application under frameworks that block: Flask, WSGI without a framework, Django as it is served by WSGI."""

from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from flask import Flask, Response, session, stream_with_context

from sessionguard import Session, SessionGuard, current_session
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.adapters.wsgi import SESSION, VISIT, SessionGuardMiddleware
from tests.adapters.every.house import METHODS, At, Awaited, House, Page, Stream, run
from tests.adapters.every.sending import send_wsgi
from tests.adapters.external.stage import Answer

R = TypeVar("R")


async def aside(function: Callable[[], Any]) -> Any:
    """Run `function` in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


class BlockingApp:
    """What these have in common."""

    token_form: ClassVar[str] = "token"
    answers_errors: ClassVar[bool] = True

    def __init__(self, house: House) -> None:
        self.house = house
        self.guard = SessionGuard(
            house.store, house.workspaces, house.policy, clock=house.clock, sweep_interval=None,
            token_form=self.token_form,  # type: ignore[arg-type]
        )  # fmt: skip
        self.guard.subscribe(house.events.append)
        self.wsgi: Any = None

    def seen(self, path: str, fields: Callable[[], Any], visit: Callable[[], Any]) -> Page | Stream:
        """Give what the view of `path` answers."""
        at = At(fields, lambda: Awaited(visit()), Awaited(self.guard), aside)
        answer = run(self.house.views[path](at))
        return answer if isinstance(answer, Page | Stream) else Page(str(answer))

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        return send_wsgi(self.wsgi, method, url, headers, body)

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return run(work)

    def current(self) -> list[Session | None]:
        return [current_session()]

    def close(self) -> None:
        self.guard.close()


class FlaskApp(BlockingApp):
    """Under Flask."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.wsgi = app = Flask("every")
        app.config.update(house.config)
        extension = SessionGuardExtension(app, self.guard)

        @app.route("/<name>", methods=METHODS, provide_automatic_options=False)
        def view(name: str) -> Response:
            # Not the proxy, which is another session in another request.
            mine: Any = session
            answer = self.seen(f"/{name}", lambda: mine._get_current_object(), lambda: extension.visit)
            if isinstance(answer, Stream):
                return Response(stream_with_context(iter(answer.pieces)), headers=dict(answer.headers))
            return Response(answer.text, answer.status, dict(answer.headers))


class WsgiApp(BlockingApp):
    """Without a framework."""

    answers_errors: ClassVar[bool] = False

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.wsgi = SessionGuardMiddleware(self._serve, self.guard, config=house.config)

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = self.seen(environ["PATH_INFO"], lambda: environ[SESSION], lambda: environ[VISIT])
        status = "200 OK" if isinstance(answer, Stream) else f"{answer.status} Status"
        start_response(status, [("Content-Type", "text/plain"), *answer.headers.items()])
        return answer.pieces if isinstance(answer, Stream) else [answer.text.encode()]
