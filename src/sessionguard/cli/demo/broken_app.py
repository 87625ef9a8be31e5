"""The upload app of the incident: it works for one user at a time, and trusts the id that the client sends."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from flask import Flask, Response, abort, request, send_from_directory, session
from werkzeug.utils import secure_filename

from sessionguard.cli.demo.analysis import analyse, first_table
from sessionguard.cli.demo.settings import Settings


def build(settings: Settings) -> Flask:
    """Give the app; its uploads lie in the folder of the run."""
    app = Flask("upload_app")
    app.secret_key = settings.secret_key
    uploads = Path(settings.folder) / "uploads"

    @app.post("/login")
    def login() -> dict[str, str]:
        session["user"] = request.form["user"]
        return {"user": session["user"]}

    @app.post("/upload")
    def upload() -> dict[str, object]:
        # The bug: an id from the client is taken as it is, and one is made only if there is none.
        session_id = session.get("session_id") or request.form.get("session_id") or uuid4().hex
        session["session_id"] = session_id
        folder = uploads / secure_filename(session_id)
        folder.mkdir(parents=True, exist_ok=True)
        for part in request.files.values():
            part.save(folder / secure_filename(part.filename or ""))
        return {"session_id": session_id}

    def folder_of_request() -> Path:
        session_id = session.get("session_id") or request.args.get("session_id") or abort(404)
        folder = uploads / secure_filename(session_id)
        return folder if folder.is_dir() else abort(404)

    @app.get("/analysis")
    def analysis() -> Mapping[str, object]:
        folder = folder_of_request()
        table = first_table(path.name for path in folder.iterdir()) or abort(404)
        return analyse((folder / table).read_bytes())

    @app.get("/files")
    def files() -> dict[str, list[str]]:
        return {"files": sorted(path.name for path in folder_of_request().iterdir())}

    @app.get("/files/<name>")
    def file(name: str) -> Response:
        return send_from_directory(folder_of_request(), name)

    return app
