"""The same upload app with sessionguard: a fresh session per upload, a private workspace, and ids that only select."""

from collections.abc import Mapping
from io import BytesIO

from flask import Flask, Response, abort, request, send_file

from sessionguard import Session, SessionGuard
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.cli.demo.analysis import analyse, first_table
from sessionguard.cli.demo.settings import Settings


def build(settings: Settings, *, trusts_form_id: bool = False) -> Flask:
    """Give the app; its sessions and workspaces lie in the folder of the run.

    `trusts_form_id` plants the bug of the incident: the session that the client names is opened, whoever asks.
    """
    app = Flask("upload_app")
    app.config["SESSIONGUARD_COOKIE_SECURE"] = False  # plain HTTP, and only on loopback
    guard = SessionGuard.open(f"sqlite:///{settings.folder}/sessions.db", workspaces=f"{settings.folder}/workspaces")
    sessions = SessionGuardExtension(app, guard)

    @app.post("/login")
    def login() -> dict[str, str]:
        sessions.login(request.form["user"])
        return {"user": request.form["user"]}

    @app.post("/upload")
    def upload() -> dict[str, str]:
        # The id in the form is not looked at: an upload is a session of its own, with an id made here.
        session = _session_of_anybody(guard) if trusts_form_id else sessions.new_session("upload")
        with sessions.workspace(session) as workspace:
            for part in request.files.values():
                workspace.write(part.filename or "", part.stream)
        return {"session_id": session.id}

    def session_of_request() -> Session:
        # The id selects and the cookie authorises: somebody else's session is one that is not there.
        session_id = request.args.get("session_id", "")
        found = guard.get(session_id) if trusts_form_id else sessions.own_session(session_id, "upload")
        return found or abort(404)

    @app.get("/analysis")
    def analysis() -> Mapping[str, object]:
        with sessions.workspace(session_of_request()) as workspace:
            table = first_table(workspace.list()) or abort(404)
            return analyse(workspace.read(table))

    @app.get("/files")
    def files() -> dict[str, list[str]]:
        with sessions.workspace(session_of_request()) as workspace:
            return {"files": sorted(workspace.list())}

    @app.get("/files/<name>")
    def file(name: str) -> Response:
        with sessions.workspace(session_of_request()) as workspace:
            return send_file(BytesIO(workspace.read(name)), download_name=name)

    return app


def _session_of_anybody(guard: SessionGuard) -> Session:
    return guard.get_or_create("anybody", scope="upload", external_id=request.form["session_id"])
