"""The same upload app with sessionguard: a fresh session per upload, a private workspace, and ids that only select."""

from collections.abc import Mapping
from datetime import timedelta
from io import BytesIO

from flask import Flask, Response, abort, request, send_file

from sessionguard import Session, SessionGuard, SessionPolicy, current_session
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.cli.demo.analysis import analyse, first_table
from sessionguard.cli.demo.settings import Settings

UPLOAD = "upload"
"""The scope of upload sessions; a visitor's own session lives in another one."""


def build(settings: Settings, *, trusts_form_id: bool = False) -> Flask:
    """Give the app; sessions, uploads and cookies belong to the folder of the run.

    `trusts_form_id` plants the bug of the incident: the session that the form names is opened, whoever asks.
    """
    app = Flask("upload_app")
    app.config["SESSIONGUARD_COOKIE_SECURE"] = False  # plain HTTP, and only on loopback
    guard = SessionGuard.open(
        f"sqlite:///{settings.folder}/sessions.db",
        workspaces=f"{settings.folder}/workspaces",
        policy=SessionPolicy(idle_timeout=timedelta(hours=2)),
    )
    extension = SessionGuardExtension(app, guard)

    @app.post("/login")
    def login() -> dict[str, str]:
        user = request.form["user"]
        extension.login(user)
        return {"user": user}

    @app.post("/upload")
    def upload() -> dict[str, str]:
        upload_session = open_upload()
        with guard.workspace(upload_session) as workspace:
            for part in request.files.values():
                workspace.write(part.filename or "", part.read())
        return {"session_id": upload_session.id}

    def open_upload() -> Session:
        if trusts_form_id:
            return guard.get_or_create("everybody", scope=UPLOAD, external_id=request.form["session_id"])
        return guard.create(visitor().owner, scope=UPLOAD)

    def visitor() -> Session:
        return current_session() or abort(401)

    def upload_of_request() -> Session:
        # The id selects, the visitor's own session authorises: for anybody else there is no such upload.
        found = guard.get(request.args.get("session_id", ""))
        if found is None or found.scope != UPLOAD or found.status != "active":
            abort(404)
        if found.owner != visitor().owner and not trusts_form_id:
            abort(404)
        return found

    @app.get("/analysis")
    def analysis() -> Mapping[str, object]:
        with guard.workspace(upload_of_request()) as workspace:
            table = first_table(workspace.list()) or abort(404)
            return analyse(workspace.read(table))

    @app.get("/files")
    def files() -> dict[str, list[str]]:
        with guard.workspace(upload_of_request()) as workspace:
            return {"files": sorted(workspace.list())}

    @app.get("/files/<name>")
    def file(name: str) -> Response:
        with guard.workspace(upload_of_request()) as workspace:
            return send_file(BytesIO(workspace.read(name)), download_name=name)

    return app
