"""Subject: what a session costs a Flask request, by sessionguard and by what Flask's users have otherwise."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flask import Flask, session
from flask_session import Session as FlaskSession
from redis import Redis

from sessionguard import SessionGuard
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.testing.servers import EngineMissingError, RedisServer
from tests.benchmarks.measuring import Case
from tests.benchmarks.serving import ANSWER, WsgiClient, compared

CALLS = 100
_AIMS = {"read, SQLite, sessionguard": "<= +30 us"}


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject; the database is in `folder`."""
    with ExitStack() as opened:
        clients = {
            "SQLite, sessionguard": WsgiClient(_guarded(opened, f"sqlite:///{folder}/flask.db")),
            "signed cookie, Flask": WsgiClient(_signed()),
        }
        bare = WsgiClient(with_views(Flask("bare"), uses_session=False))
        yield [
            *compared("Flask request", clients, bare, CALLS, _AIMS),
            *compared("Redis, Flask request", _on_redis(opened), bare, CALLS),
        ]


def _on_redis(opened: ExitStack) -> dict[str, WsgiClient]:
    try:
        server = opened.enter_context(RedisServer(appendonly="no"))
    except EngineMissingError:
        return {}
    peer = Flask("flask-session")
    peer.config.update(SESSION_TYPE="redis", SESSION_REDIS=opened.enter_context(Redis.from_url(server.url)))
    FlaskSession(peer)
    return {
        "sessionguard": WsgiClient(_guarded(opened, server.url)),
        "Flask-Session": WsgiClient(with_views(peer, uses_session=True)),
    }


def _guarded(opened: ExitStack, url: str) -> Flask:
    app = Flask("guarded")
    app.config["SESSIONGUARD_COOKIE_SECURE"] = False
    SessionGuardExtension(app, opened.enter_context(SessionGuard.open(url, sweep_interval=None)))
    return with_views(app, uses_session=True)


def _signed() -> Flask:
    app = Flask("signed")
    app.secret_key = "only measured"
    return with_views(app, uses_session=True)


def with_views(app: Flask, *, uses_session: bool) -> Flask:
    """Give `app` a view that reads and one that writes; without sessions they answer the same."""
    counter = iter(range(10**9))

    @app.get("/read")
    def read() -> str:
        return str(session["name"]) if uses_session else ANSWER.decode()

    @app.get("/write")
    def write() -> str:
        if uses_session:
            session["name"] = ANSWER.decode()
            session["n"] = next(counter)
        return ANSWER.decode()

    return app
