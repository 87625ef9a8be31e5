"""Subject: what a session costs a Flask request, by sessionguard on SQLite and by Flask's own signed cookie."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from flask import Flask, session

from sessionguard import SessionGuard
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.stores.sqlite import SQLiteStore
from tests.benchmarks.measuring import Case, seconds

CALLS = 100


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject; the database is in `folder`."""
    bare = Client(with_views(Flask("bare"), uses_session=False))
    guarded_app = Flask("guarded")
    guarded_app.config["SESSIONGUARD_COOKIE_SECURE"] = False
    with SessionGuard(SQLiteStore(folder / "flask.db"), sweep_interval=None) as guard:
        SessionGuardExtension(guarded_app, guard)
        guarded = Client(with_views(guarded_app, uses_session=True))
        own_app = Flask("own")
        own_app.secret_key = "only measured"
        own = Client(with_views(own_app, uses_session=True))
        group = "Flask request"
        yield [
            Case(group, name, partial(client.get, path), partial(bare.get, path), "bare app", calls, aim)
            for path, calls in (("/read", CALLS), ("/write", CALLS // 5))
            for name, client, aim in (
                (f"{path[1:]}, sessionguard", guarded, "<= +30 us" if path == "/read" else ""),
                (f"{path[1:]}, Flask's own", own, ""),
            )
        ]


def with_views(app: Flask, *, uses_session: bool) -> Flask:
    """Give `app` a view that reads and one that writes; without sessions they answer the same."""
    counter = iter(range(10**9))

    @app.get("/read")
    def read() -> str:
        return str(session["name"]) if uses_session else "Ana"

    @app.get("/write")
    def write() -> str:
        if uses_session:
            session["name"] = "Ana"
            session["n"] = next(counter)
        return "Ana"

    return app


class Client:
    """Calls an application as a server would, with the cookie that it got first."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._cookie = ""
        self._request("/write")

    def get(self, path: str, n: int) -> float:
        """Request `path` so often, and give how long that took."""

        def run() -> None:
            for _ in range(n):
                self._request(path)

        return seconds(run)

    def _request(self, path: str) -> None:
        environ: dict[str, Any] = {"PATH_INFO": path, "HTTP_COOKIE": self._cookie}
        setup_testing_defaults(environ)
        answer = self._app(environ, self._start)
        assert b"".join(answer) == b"Ana"
        close = getattr(answer, "close", None)
        if close is not None:
            close()

    def _start(self, status: str, headers: list[tuple[str, str]], *_: object) -> None:
        assert status == "200 OK", status
        for name, value in headers:
            if name == "Set-Cookie":
                self._cookie = value.partition(";")[0]
