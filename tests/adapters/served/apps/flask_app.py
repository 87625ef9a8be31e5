"""The application that is served, in Flask."""

import os

from flask import Blueprint, Flask, Request, Response, abort, request, session

from sessionguard import Session, current_session
from sessionguard.adapters.external import ExternalIds, Select
from sessionguard.adapters.flask import SessionGuardExtension, external_routes, external_session
from sessionguard.adapters.modes import concurrency, read_only
from tests.adapters.served.apps.pages import HOME
from tests.adapters.served.gates import wait_at


def program(request: Request) -> str | None:
    """Give the program that calls: in a real application, whose key it presents."""
    return request.headers.get("X-Api-Key")


def is_operator(request: Request) -> bool:
    """Tell who may look at the debug page."""
    return request.headers.get("X-Operator") == "yes"


extension = SessionGuardExtension(
    external=ExternalIds(policy=Select(expose_id="external"), caller=program, may_debug=is_operator)
)
views = Blueprint("views", __name__)


def create_app() -> Flask:
    """Give the application, configured by the environment."""
    app = Flask(__name__)
    app.config["SESSIONGUARD_URL"] = os.environ["STORE_URL"]
    app.config["SESSIONGUARD_WORKSPACES"] = os.environ["WORKSPACES"]
    app.config["SESSIONGUARD_LOCK_TIMEOUT"] = 60
    extension.init_app(app)
    app.register_blueprint(views)
    app.register_blueprint(external_routes())
    return app


@views.get("/ready")
def ready() -> str:
    """Say which server this is."""
    return os.environ["SERVED_SIGN"]


# The visitor


@views.get("/")
def home() -> str:
    """Show who is logged in."""
    return HOME.format(owner=owner())


@views.get("/me")
@read_only
def me() -> dict[str, object]:
    """Tell what is kept of the visitor."""
    return {"owner": owner(), "data": dict(session)}


@views.get("/visit")
def visit() -> dict[str, object]:
    """Count the visits of everybody who looks."""
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"]}


@views.post("/login")
def login() -> str:
    """Log in whoever says so."""
    return extension.login(request.args["owner"]).id


@views.post("/logout")
def logout() -> str:
    """Log out."""
    extension.logout()
    return "bye"


@views.post("/rotate")
def rotate() -> str:
    """Give the visitor a new token."""
    extension.visit.rotate()
    return "ok"


@views.post("/put")
def put() -> str:
    """Keep one value, whose making may take a while."""
    seen = session.get(request.args["field"])
    wait_at(request.args.get("gate"))
    session[request.args["field"]] = request.args["value"]
    return f"it was {seen}"


def owner() -> str | None:
    """Give who the visitor is to the guard: a name after a login, before it one that nobody else has."""
    visitor = current_session()
    return None if visitor is None else visitor.owner


# Counting


@views.post("/count/merge")
@concurrency("merge")
def count_merging() -> dict[str, object]:
    """Count beside others."""
    return count()


@views.post("/count/strict")
@concurrency("strict")
def count_strictly() -> dict[str, object]:
    """Count, or be told that somebody else has."""
    return count()


@views.post("/count/serial")
@concurrency("serial")
def count_in_turn() -> dict[str, object]:
    """Count, one after the other."""
    return count()


def count() -> dict[str, object]:
    """Count up."""
    field = request.args["field"]
    session[field] = session.get(field, 0) + 1
    return {"count": session[field]}


# Tabs with sessions of their own


@views.post("/tabs")
def open_tab() -> dict[str, object]:
    """Give a tab a session of its own."""
    return {"tab": extension.new_session("tab").id}


@views.get("/tabs/<tab>")
def show_tab(tab: str) -> dict[str, object]:
    """Tell what is kept of a tab."""
    found = own_tab(tab)
    with extension.workspace(found) as workspace:
        return {"data": dict(found.data), "files": sorted(workspace.list())}


@views.post("/tabs/<tab>")
def put_in_tab(tab: str) -> str:
    """Keep one value of a tab."""
    extension.guard.save(own_tab(tab), {request.args["field"]: request.args["value"]})
    return "ok"


@views.post("/tabs/<tab>/files")
def upload(tab: str) -> str:
    """Keep a file of a tab."""
    sent = request.files["file"]
    wait_at(request.args.get("gate"))
    with extension.workspace(own_tab(tab)) as workspace:
        workspace.write(sent.filename or "", sent.stream)
    return "ok"


@views.get("/tabs/<tab>/files/<name>")
def download(tab: str, name: str) -> Response:
    """Give a file of a tab."""
    with extension.workspace(own_tab(tab)) as workspace:
        try:
            return Response(workspace.read(name), content_type="application/octet-stream")
        except FileNotFoundError:
            abort(404)


def own_tab(tab: str) -> Session:
    """Give the session of one of the visitor's tabs; 404 for all others."""
    return extension.own_session(tab, "tab") or abort(404)


# What other programs name


@views.post("/documents/<name>")
def put_document(name: str) -> list[str]:
    """Keep a document in the session that the program names."""
    named = external_session() or abort(400)
    kept = extension.guard.modify(named, lambda data: {**data, "documents": [*data.get("documents", []), name]})
    return list(kept.data["documents"])


# What caches are tempted by


@views.get("/account/<path:name>")
def account(name: str) -> Response:
    """Show what only its owner may see, and call it a style sheet that all may keep, as careless views do."""
    return style_sheet(owner())


@views.get("/by-hand/<path:name>")
def by_hand(name: str) -> Response:
    """Show the same without the extension: what a cache makes of that is what the extension is there for."""
    found = extension.guard.load(request.cookies.get("__Host-sg", ""))
    return style_sheet(None if found is None else found.owner)


def style_sheet(owner: str | None) -> Response:
    """Give a page that may be kept by all."""
    return Response(f"owner: {owner}", content_type="text/css", headers={"Cache-Control": "public, max-age=600"})
