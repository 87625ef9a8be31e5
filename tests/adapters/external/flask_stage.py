"""The application under Flask."""

from collections.abc import Iterable
from typing import Any

from flask import Flask, request
from werkzeug.test import Client, EnvironBuilder

from sessionguard.adapters.flask import SessionGuardExtension, external_routes, external_session
from tests.adapters.external.stage import Answer, Backstage


class FlaskApp:
    """Sends requests to it."""

    def __init__(self, back: Backstage) -> None:
        self.flask = app = Flask("external")
        extension = SessionGuardExtension(app, back.guard, external=back.ids)
        app.register_blueprint(external_routes())

        @app.post("/login")
        def login() -> str:
            extension.login(request.args["owner"])
            return ""

        @app.route("/work", methods=["GET", "POST"])
        def work() -> dict[str, Any]:
            session = external_session()
            assert external_session() is session
            return back.work(session, extension.visit.session(), request.args.get("document"))

        @app.get("/plain")
        def plain() -> str:
            return "plain"

        self._client = Client(app, use_cookies=False)

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        path, _, query = url.partition("?")
        builder = EnvironBuilder(
            path, method=method, query_string=query, headers=list(headers), data=body or None, base_url="https://x/"
        )
        environ = builder.get_environ()
        environ["HTTP_HOST"] = dict(headers).get("Host", "x")
        response = self._client.open(environ, buffered=True)
        return Answer(response.status_code, tuple(response.headers), response.text)
