"""A small upload app: every upload is a session of its own, with a private workspace.

    pip install '.[flask]'      # in a checkout of the repository
    flask --app examples/flask_upload/app.py run

Open http://localhost:5000 in several tabs and upload at once: no tab ever sees another's files.
"""

from pathlib import Path

from flask import Flask, abort, redirect, render_template_string, request, url_for
from werkzeug.wrappers import Response

from sessionguard import Session
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.errors import PathEscapeError

PAGE = """
<!doctype html>
<title>Uploads</title>
<form method="post" action="{{ url_for('upload') }}" enctype="multipart/form-data">
  <input type="file" name="file" multiple required> <button>Upload</button>
</form>
<ul>
{% for id in uploads %}
  <li><a href="{{ url_for('show', upload_id=id) }}">{{ id }}</a></li>
{% endfor %}
</ul>
"""

extension = SessionGuardExtension()


def create_app(**settings: object) -> Flask:
    """Give the app; `settings` go over the defaults, which keep everything in Flask's instance folder."""
    app = Flask(__name__)
    folder = Path(app.instance_path)
    app.config["SESSIONGUARD_URL"] = f"sqlite:///{folder / 'sessions.db'}"
    app.config["SESSIONGUARD_WORKSPACES"] = str(folder / "workspaces")
    app.config.update(settings)
    extension.init_app(app)
    app.add_url_rule("/", view_func=home)
    app.add_url_rule("/uploads", view_func=upload, methods=["POST"])
    app.add_url_rule("/uploads/<upload_id>", view_func=show)
    app.add_url_rule("/uploads/<upload_id>/<name>", view_func=download)
    return app


def home() -> str:
    """List the visitor's uploads."""
    return render_template_string(PAGE, uploads=[found.id for found in extension.visit.own_sessions("upload")])


def upload() -> Response:
    """Store the files of one form in a session of their own; 400 says what is wrong with a name, or that none came."""
    files = request.files.getlist("file")
    # What a browser sends when no file was chosen is a file without a name.
    if not files or not all(file.filename for file in files):
        abort(400, "choose a file first; each file needs a name")
    fresh = extension.new_session("upload")
    try:
        with extension.workspace(fresh) as workspace:
            for file in files:
                # The name comes from the client. One that could lead out of the workspace is refused.
                workspace.write(file.filename or "", file.stream)
    except BaseException as error:
        # All or nothing: no session stays behind that nobody was told of.
        extension.guard.end(fresh)
        if isinstance(error, PathEscapeError):
            abort(400, f"the file name {error.name} cannot be used: {error.problem}")
        raise
    return redirect(url_for("show", upload_id=fresh.id), 303)


def show(upload_id: str) -> dict[str, list[str]]:
    """Name the files of one upload."""
    with extension.workspace(own_upload(upload_id)) as workspace:
        return {"files": sorted(workspace.list())}


def download(upload_id: str, name: str) -> tuple[bytes, dict[str, str]]:
    """Give one file, as something to save and not to show: it may be HTML."""
    with extension.workspace(own_upload(upload_id)) as workspace:
        try:
            content: bytes = workspace.read(name)
        except FileNotFoundError:
            abort(404)
    return content, {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }


def own_upload(upload_id: str) -> Session:
    """Give the visitor's upload with this id; 404 for what is unknown, over or somebody else's, all alike."""
    return extension.own_session(upload_id, "upload") or abort(404)
