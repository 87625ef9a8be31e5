"""One application of each framework, under each server that it is run with, on each engine."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sessionguard.testing import TcpProxy
from sessionguard.testing.servers.ports import LOOPBACK
from tests.adapters.served.serving import AppServer, Gunicorn, Uvicorn

_APPS = "tests.adapters.served.apps"

FRONTS: dict[str, tuple[Callable[[str, dict[str, str]], AppServer], str]] = {
    "flask-gunicorn": (Gunicorn, f"{_APPS}.flask_app:create_app()"),
    "fastapi-uvicorn": (Uvicorn, f"{_APPS}.fastapi_app:create_app"),
    "django-gunicorn": (Gunicorn, f"{_APPS}.django_app:create_wsgi()"),
    "django-uvicorn": (Uvicorn, f"{_APPS}.django_app:create_asgi"),
}
"""The framework and its server: which server it is, and what the server is told to run."""
ENGINES = ("sqlite", "postgres", "redis")


class Front:
    """A running application on an engine that can be taken away from it and given back."""

    def __init__(self, kind: str, place: Path, engine_url: str | None) -> None:
        self._file = place / "sessions.db"
        self._proxy: TcpProxy | None = None
        url = f"sqlite:///{self._file}"
        if engine_url is not None:
            self._proxy = TcpProxy(LOOPBACK, port_of(engine_url))
            url = self._proxy.url_of(engine_url)
        serve, app = FRONTS[kind]
        self.server = serve(app, {"STORE_URL": url, "WORKSPACES": str(place / "workspaces")})

    def start(self) -> None:
        """It serves."""
        if self._proxy is not None:
            self._proxy.accept()
        self.server.start()

    def close(self) -> None:
        """It is gone."""
        self.server.close()
        if self._proxy is not None:
            self._proxy.close()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.server.port}"

    @contextmanager
    def without_store(self) -> Iterator[None]:
        """Take the store away: its server is not to be reached, or somebody who writes to its file does not end."""
        if self._proxy is None:
            with closing(sqlite3.connect(self._file, isolation_level=None)) as writer:
                writer.execute("BEGIN EXCLUSIVE")
                yield
            return
        self._proxy.refuse()
        self._proxy.cut()
        try:
            yield
        finally:
            self._proxy.heal()


def port_of(url: str) -> int:
    """Give the port that a store's URL names."""
    return int(url.partition("://")[2].rpartition("@")[2].partition("/")[0].rpartition(":")[2])
