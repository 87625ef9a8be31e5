"""The application under Flask."""

from collections.abc import Iterable
from typing import Any

from flask import Flask, request

from sessionguard.adapters.flask import SessionGuardExtension, external_routes, external_session
from tests.adapters.external.stage import Answer, Backstage
from tests.adapters.external.wsgi_sending import send_wsgi


class FlaskApp:
    """Sends requests to it."""

    @staticmethod
    def header(request: Any, name: str) -> str | None:
        """Give a header of Flask's request."""
        found: str | None = request.headers.get(name)
        return found

    def __init__(self, back: Backstage) -> None:
        self.flask = app = Flask("external")
        extension = SessionGuardExtension(app, back.guard, external=back.ids)
        app.register_blueprint(external_routes())

        @app.post("/login")
        def login() -> str:
            extension.login(request.args["owner"])
            return ""

        @app.post("/logout")
        def logout() -> str:
            extension.logout()
            return ""

        @app.route("/work", methods=["GET", "POST"])
        def work() -> dict[str, Any]:
            session = external_session()
            assert external_session() is session
            return back.work(session, extension.visit.session(), request.args.get("document"))

        @app.get("/plain")
        def plain() -> str:
            return "plain"

    def send(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        return send_wsgi(self.flask, method, url, headers, body)

    def close(self) -> None:
        """It has opened nothing."""
