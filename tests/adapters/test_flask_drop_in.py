"""What Flask's users write beside plain views: async views, classes, blueprints, commands, streams."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request, session, stream_with_context
from flask.views import MethodView, View

from sessionguard import SessionGuard, current_session
from sessionguard.adapters import concurrency, read_only
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.errors import MisuseError, SessionEndedError
from tests.adapters.conftest import BuildSite
from tests.adapters.site import Site

SOON = timedelta(milliseconds=50)


# Async views


def test_t09_async_view_has_the_session_of_its_request(site: Site) -> None:
    """Its session is read, written and current, also after an await and in its tasks; nothing stays in the thread."""
    extension = site.extension

    @site.app.post("/async/count")
    async def counting() -> dict[str, Any]:
        session["n"] = session.get("n", 0) + 1
        await asyncio.sleep(0)
        owners = await asyncio.gather(*(owner_in_a_task() for _ in range(2)))
        session["late"] = True
        return {"n": session["n"], "owners": owners}

    @site.app.post("/async/login/<owner>")
    async def login(owner: str) -> str:
        await asyncio.sleep(0)
        return extension.login(owner).owner

    async def owner_in_a_task() -> str | None:
        await asyncio.sleep(0)
        found = current_session()
        return None if found is None else found.owner

    ana, bob = site.client(), site.client()
    ana.post("/async/login/ana")
    bob.post("/async/login/bob")
    assert ana.post("/async/count").json == {"n": 1, "owners": ["ana", "ana"]}
    assert bob.post("/async/count").json == {"n": 1, "owners": ["bob", "bob"]}
    assert ana.post("/async/count").json == {"n": 2, "owners": ["ana", "ana"]}
    assert {found.owner: found.data for found in site.guard.sessions()} == {
        "ana": {"n": 2, "late": True},
        "bob": {"n": 1, "late": True},
    }
    assert current_session() is None


def test_async_view_takes_its_turn_like_any_other(build: BuildSite) -> None:
    """In serial mode it waits before it runs; marks are seen on coroutines, too."""
    site = build(concurrency="serial", SESSIONGUARD_LOCK_TIMEOUT=SOON)

    @site.app.get("/turn")
    async def turn() -> str:
        return str(session["n"])

    @site.app.get("/beside")
    @read_only
    async def beside() -> str:
        return str(session["n"])

    visitor = site.guard.create(data={"n": 1})
    headers = {"Cookie": f"__Host-sg={visitor.token}"}
    assert site.sender().get("/turn", headers=headers).text == "1"
    with site.guard.lock(visitor, "request"):
        assert site.sender().get("/turn", headers=headers).status_code == 503
        assert site.sender().get("/beside", headers=headers).text == "1"


# Classes and blueprints


@read_only
class Report(View):
    """Marked as a class."""

    def dispatch_request(self) -> str:
        """Look."""
        return str(session["n"])


class Basket(MethodView):
    """Marked by the method."""

    @read_only
    def get(self) -> str:
        """Look."""
        return str(session["n"])

    def post(self) -> str:
        """Write."""
        session["n"] += 1
        return str(session["n"])


@concurrency("merge")
class Beside(MethodView):
    """Marked as a class, but for one method."""

    def post(self) -> str:
        """Write beside others."""
        session["m"] = 1
        return "beside"

    @concurrency("serial")
    def put(self) -> str:
        """Write in turn."""
        return "in turn"


def test_classes_and_blueprints_have_modes_of_their_own(build: BuildSite) -> None:
    """The mark may stand on a class of views, on one of its methods, or on a view of a blueprint."""
    site = build(concurrency="serial", SESSIONGUARD_LOCK_TIMEOUT=SOON)
    blueprint = Blueprint("shop", "shop", url_prefix="/shop")
    blueprint.add_url_rule("/report", view_func=Report.as_view("report"))
    blueprint.add_url_rule("/basket", view_func=Basket.as_view("basket"))
    blueprint.add_url_rule("/beside", view_func=Beside.as_view("beside"))
    blueprint.add_url_rule("/plain", view_func=lambda: "plain", endpoint="plain")
    blueprint.add_url_rule("/marked", view_func=read_only(lambda: str(session["n"])), endpoint="marked")
    site.app.register_blueprint(blueprint)
    visitor = site.guard.create(data={"n": 1})
    headers = {"Cookie": f"__Host-sg={visitor.token}"}
    with site.guard.lock(visitor, "request"):
        answers = {
            (method, path): site.sender().open(f"/shop/{path}", method=method, headers=headers).status_code
            for method, path in [
                ("GET", "report"), ("HEAD", "report"), ("GET", "basket"), ("HEAD", "basket"), ("POST", "basket"),
                ("POST", "beside"), ("PUT", "beside"), ("GET", "plain"), ("GET", "marked"),
            ]
        }  # fmt: skip
    waited = {key for key, status in answers.items() if status == 503}
    assert waited == {("POST", "basket"), ("PUT", "beside"), ("GET", "plain")}
    assert {status for key, status in answers.items() if key not in waited} == {200}


# Streams


def counting(site: Site, after: Callable[[], object]) -> Any:
    """Give a view that streams three pieces, and calls `after` before each but the first."""

    @site.app.get("/stream")
    def stream() -> Response:
        def body() -> Iterator[str]:
            for number in range(3):
                if number:
                    after()
                yield f"{session['n']}{number} "

        return Response(stream_with_context(body()))

    return stream


def test_t11_stream_whose_session_ends_is_cut_off(build: BuildSite) -> None:
    """What follows the end is not sent, though the body still has what it read before."""
    site = build(SESSIONGUARD_CHECK_INTERVAL=1e-6)
    visitor = site.guard.create(data={"n": 1})
    counting(site, lambda: site.guard.end(visitor))
    response = site.sender().get("/stream", headers={"Cookie": f"__Host-sg={visitor.token}"})
    pieces = response.iter_encoded()
    assert next(iter(pieces)) == b"10 "
    with pytest.raises(SessionEndedError):
        list(pieces)
    response.close()


@pytest.mark.parametrize("interval", [5, None])
def test_t11_stream_asks_no_oftener_than_it_is_told(build: BuildSite, interval: int | None) -> None:
    """Between two looks, or where it is told never to look, no store is asked."""
    site = build(SESSIONGUARD_CHECK_INTERVAL=interval)
    visitor = site.guard.create(data={"n": 1})
    counting(site, lambda: None)
    site.store.asked()
    assert site.sender().get("/stream", headers={"Cookie": f"__Host-sg={visitor.token}"}).text == "10 11 12 "
    assert site.store.asked() == ["load"]


def test_t11_outage_does_not_cut_a_stream_off(build: BuildSite, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows that the session has ended, so it goes on; the log says so."""
    site = build(SESSIONGUARD_CHECK_INTERVAL=1e-6)
    visitor = site.guard.create(data={"n": 1})
    counting(site, lambda: site.store.failing.add("get"))
    assert site.sender().get("/stream", headers={"Cookie": f"__Host-sg={visitor.token}"}).text == "10 11 12 "
    assert "could not be looked after" in caplog.text


def test_t11_body_of_a_cut_stream_is_closed(build: BuildSite) -> None:
    """What it holds open is let go."""
    site = build(SESSIONGUARD_CHECK_INTERVAL=1e-6)
    closed: list[bool] = []

    @site.app.get("/stream")
    def stream() -> Response:
        def body() -> Iterator[bytes]:
            try:
                yield b"1"
                yield b"2"
            finally:
                closed.append(True)

        session["n"] = 1
        return Response(body())

    response = site.sender().get("/stream")
    assert next(iter(response.iter_encoded())) == b"1"
    response.close()
    assert closed == [True]


class Cursor:
    """A body that is closed, and not the iterator that it gives."""

    is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"1", b"2"])

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


@pytest.mark.parametrize("interval", [5, None])
def test_body_of_a_stream_is_closed_whether_it_is_looked_after_or_not(build: BuildSite, interval: int | None) -> None:
    """What it holds open is let go, as without us."""
    site = build(SESSIONGUARD_CHECK_INTERVAL=interval)
    body = Cursor()
    site.app.add_url_rule("/cursor", view_func=lambda: Response(body))
    response = site.sender().get("/cursor")
    assert response.data == b"12"
    response.close()
    assert body.is_closed


# Applications


def test_guard_outside_of_an_application_says_what_to_do() -> None:
    """Without an application there is no guard of settings; an unbound application has none."""
    extension = SessionGuardExtension()
    with pytest.raises(MisuseError, match="app_context"):
        extension.guard.sweep()
    with Flask("unbound").app_context(), pytest.raises(MisuseError, match="init_app"):
        extension.guard.sweep()


def test_applications_in_one_process_have_guards_of_their_own() -> None:
    """A session of one is nobody's in the other, though both know the cookie."""
    extension = SessionGuardExtension()
    clients, guards = [], []
    for name in ("one", "two"):
        app = Flask(name)
        app.config["SESSIONGUARD_URL"] = "memory://"
        extension.init_app(app)
        app.add_url_rule("/", view_func=lambda: dict(session), endpoint="look")
        app.add_url_rule("/", view_func=lambda: session.update(app=request.host) or "", methods=["POST"])
        clients.append(app.test_client())
        with app.app_context():
            guards.append(extension.guard)
    clients[0].post("/")
    cookie = clients[0].get_cookie("__Host-sg")
    assert cookie is not None
    clients[1].set_cookie("__Host-sg", cookie.value)
    assert (clients[0].get("/").json, clients[1].get("/").json) == ({"app": "localhost"}, {})
    assert [sum(1 for _ in guard.sessions()) for guard in guards] == [1, 0]
    for guard in guards:
        guard.close()


# Commands


@pytest.fixture
def command(build: BuildSite) -> Any:
    """Give what runs `flask sessionguard` with some arguments: its status, and what it prints."""
    site = build()

    def run(*arguments: str) -> tuple[int, str]:
        result = site.app.test_cli_runner().invoke(args=["sessionguard", *arguments])
        return result.exit_code, result.output

    run.site = site  # type: ignore[attr-defined]
    return run


def test_command_lists_sessions_without_their_secrets(command: Any) -> None:
    """By owner, scope and status; what would steer a terminal is shown, not obeyed."""
    guard: SessionGuard = command.site.guard
    ana, evil = guard.create("ana", data={"card": "4111"}), guard.create("e\u202evil", scope="upload")
    ended = guard.create("ana")
    guard.end(ended, "revoked")
    status, shown = command("list")
    assert status == 0
    assert ana.id in shown
    assert evil.id in shown
    assert ended.id not in shown
    assert r"e\u202evil" in shown
    assert "4111" not in shown
    assert not re.search(r"sg1_", shown)
    assert ended.id in command("list", "--status", "all", "--owner", "ana")[1]
    assert "there are more" in command("list", "--limit", "1")[1]
    assert command("list", "--scope", "upload")[1].count("\n") == 3


def test_command_ends_sessions(command: Any) -> None:
    """One by its id, or all of an owner; what cannot be is a line and a status."""
    guard: SessionGuard = command.site.guard
    ana = guard.create("ana")
    guard.create("bob")
    assert command("end", ana.id, "--reason", "stolen") == (0, f"ended {ana.id} (stolen), 0 files removed\n")
    found = guard.get(ana.id)
    assert found is not None
    assert found.reason == "stolen"
    assert command("end", ana.id) == (1, "sessionguard: it has already ended\n")
    assert command("end", "no-such-id") == (1, "sessionguard: there is no session with that id\n")
    assert command("end", "--owner", "bob")[1].startswith("ended 1 session of bob")
    assert command("end")[0] == 2
    command.site.store.failing.add("end_owner")
    status, shown = command("end", "--owner", "bob")
    assert (status, shown.count("\n")) == (2, 1)
    assert "planted outage" in shown


def test_command_sweeps_and_examines(command: Any) -> None:
    """What has expired is told before it is ended; a store out of reach is a line and a status."""
    site: Site = command.site
    site.guard.create("ana")
    site.clock.advance(timedelta(days=8))
    status, shown = command("doctor")
    assert status == 0
    assert "ok       workspaces: " in shown
    for options in (["--dry-run"], []):
        assert json.loads(command("sweep", "--json", *options)[1])["ended"] == 1
    assert json.loads(command("sweep", "--json")[1])["ended"] == 0
    site.store.failing.update({"sweep", "find_due", "census"})
    assert command("sweep", "--dry-run")[0] == 2


def test_commands_have_the_help_of_the_command_line(command: Any) -> None:
    """`flask sessionguard --help` names them all, and each of them its options, without those that are settings."""
    names = {"list", "show", "end", "sweep", "stats", "doctor", "migrate"}
    for arguments in ((), ("--help",)):
        assert set(re.findall(r"^    (\w+)  ", command(*arguments)[1], re.MULTILINE)) == names
    shown = command("sweep", "--help")[1]
    assert shown.startswith("usage: flask sessionguard sweep ")
    assert "--dry-run" in shown
    assert "--store" not in shown
    assert command("list", "--all")[0] == 2


def test_doctor_tells_of_risky_settings(build: BuildSite) -> None:
    """A cookie that anyone on the way, or sibling hosts, can read."""
    site = build(SESSIONGUARD_COOKIE_SECURE=False, SESSIONGUARD_COOKIE_DOMAIN="example.org")
    site.guard.create("ana")
    shown = site.app.test_cli_runner().invoke(args=["sessionguard", "doctor", "--json"]).output
    plain, shared = (finding for finding in json.loads(shown) if finding["subject"] == "cookie")
    assert "SESSIONGUARD_COOKIE_SECURE" in plain["remedy"]
    assert "example.org" in shared["message"]
