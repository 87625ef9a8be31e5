"""Who a visitor is: login, logout, sessions of their own, workspaces, timeouts."""

import gc
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from flask import flash, get_flashed_messages, request, session

from sessionguard import Session, current_session
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import SessionEndedError
from sessionguard.testing.profile import Profile
from tests.adapters.conftest import BuildSite
from tests.adapters.site import Site, token_of

COOKIE = "__Host-sg"


@pytest.fixture
def site(build: BuildSite) -> Site:
    """Give a site where visitors put things into a cart, log in and out, and see who they are."""
    site = build()
    extension = site.extension

    @site.view
    def put() -> str:
        session["cart"] = [*session.get("cart", []), 1]
        return ""

    @site.view
    def ana() -> str:
        extension.login("ana")
        return ""

    @site.view
    def bob() -> str:
        extension.login("bob")
        return ""

    @site.view
    def logout() -> str:
        extension.logout()
        return ""

    @site.view
    def who() -> dict[str, Any]:
        found = current_session()
        owner = None if found is None else "anonymous" if is_anonymous(found.owner) else found.owner
        return {"owner": owner, "data": dict(session)}

    return site


NOBODY: dict[str, Any] = {"owner": None, "data": {}}


def test_login_rotates_the_token_and_keeps_the_visitors_data(site: Site) -> None:
    """A token that someone else planted or saw before the login is worth nothing after it."""
    client = site.client()
    client.post("/put")
    planted = token_of(client)
    assert client.get("/who").json == {"owner": "anonymous", "data": {"cart": [1]}}
    client.post("/ana")
    assert client.get("/who").json == {"owner": "ana", "data": {"cart": [1]}}
    assert token_of(client) != planted
    site.clock.advance(timedelta(seconds=20))
    assert site.guard.load(planted) is None
    assert site.session_count() == 1


def test_login_without_a_session_opens_one(site: Site) -> None:
    """A visitor who comes with nothing is logged in with a session that holds what the view wrote before and after."""

    @site.view
    def login() -> str:
        session["before"] = 1
        site.extension.login("ana")
        session["after"] = (2,)
        return ""

    client = site.client()
    site.store.asked()
    client.post("/login")
    assert site.store.asked() == ["create", "save"]
    assert client.get("/who").json == {"owner": "ana", "data": {"before": 1, "after": [2]}}


def test_login_again_rotates(site: Site) -> None:
    """A second login of the same owner, after a password was asked again, gives a new token to the same session."""
    client = site.client()
    client.post("/ana")
    first = token_of(client)
    client.post("/put")
    client.post("/ana")
    assert token_of(client) != first
    assert client.get("/who").json == {"owner": "ana", "data": {"cart": [1]}}
    assert site.session_count() == 1


def test_login_of_another_owner_ends_the_session_and_carries_nothing_over(site: Site) -> None:
    """What the former owner's session held is neither stored in nor visible to the new owner's."""
    seen: list[dict[str, Any]] = []

    @site.view
    def switch() -> str:
        session["cart"].append("late")
        session["more"] = 1
        site.extension.login("bob")
        seen.append(dict(session))
        session["own"] = 1
        return ""

    client = site.client()
    client.post("/ana")
    client.post("/put")
    former = token_of(client)
    client.post("/switch")
    assert seen == [{}]
    assert client.get("/who").json == {"owner": "bob", "data": {"own": 1}}
    assert site.guard.load(former) is None
    assert list(site.guard.sessions(owner="ana")) == []


def test_login_over_an_ended_session_carries_nothing_over(site: Site) -> None:
    """A session that was ended while the login was under way does not live on under another id."""

    @site.view
    def login() -> str:
        assert session["cart"] == [1]
        site.guard.end(current_session())  # type: ignore[arg-type]
        site.extension.login("ana")
        return ""

    client = site.client()
    client.post("/put")
    client.post("/login")
    assert client.get("/who").json == {"owner": "ana", "data": {}}


@pytest.mark.parametrize("before", ["put", "ana"])
def test_login_over_an_ended_session_keeps_what_this_request_wrote(site: Site, before: str) -> None:
    """Only that: whether another tab ended the session meanwhile makes no difference to the view."""
    seen: list[dict[str, Any]] = []

    @site.view
    def login() -> str:
        session["next"] = "/pay"
        site.guard.end(current_session())  # type: ignore[arg-type]
        site.extension.login("ana")
        seen.append(dict(session))
        session["after"] = 1
        return ""

    client = site.client()
    client.post(f"/{before}")
    client.post("/login")
    assert seen == [{"next": "/pay"}]
    assert client.get("/who").json == {"owner": "ana", "data": {"next": "/pay", "after": 1}}


def test_two_logins_of_one_browser_at_once_do_not_share_a_session(site: Site, sg_profile: Profile) -> None:
    """Whichever owner wins the anonymous session, the other gets one of their own, and nobody is seen as another."""
    for _ in range(sg_profile.rounds):
        both_loaded = Barrier(2, timeout=10)
        wanted = {"first": "ana", "second": "bob"}
        got: dict[str, Session] = {}

        def login(name: str, owner: str, both_loaded: Barrier, got: dict[str, Session]) -> Callable[[], str]:
            def view() -> str:
                assert session["cart"] == [1]
                both_loaded.wait()
                got[name] = site.extension.login(owner)
                return ""

            view.__name__ = name
            return view

        for name, owner in wanted.items():
            site.view(login(name, owner, both_loaded, got))
        visitor = site.client()
        visitor.post("/put")
        token = token_of(visitor)

        def post(name: str, token: str | None = token) -> str | None:
            client = site.client()
            client.set_cookie(COOKIE, token or "")
            client.post(f"/{name}")
            return token_of(client)

        with ThreadPoolExecutor(2) as pool:
            tokens = dict(zip(wanted, pool.map(post, wanted), strict=True))
        assert {name: found.owner for name, found in got.items()} == wanted
        assert got["first"].id != got["second"].id
        for name, owner in wanted.items():
            loaded = site.guard.load(tokens[name])
            assert loaded is not None
            assert loaded.owner == owner


def test_t22_two_rotations_at_once_have_one_winner(site: Site) -> None:
    """Of two logins of the same owner at once, one sets the cookie; the old token dies with its grace."""
    both_loaded = Barrier(2, timeout=10)

    @site.view
    def login() -> str:
        assert session["cart"] == [1]
        both_loaded.wait()
        site.extension.login("ana")
        return ""

    @site.view
    def again() -> str:
        site.extension.login("ana")
        return ""

    visitor = site.client()
    visitor.post("/put")
    old = token_of(visitor)

    def post(_: int) -> list[str]:
        return site.sender().post("/login", headers={"Cookie": f"{COOKIE}={old}"}).headers.getlist("Set-Cookie")

    with ThreadPoolExecutor(2) as pool:
        cookies = [cookie for found in pool.map(post, range(2)) for cookie in found]
    assert len(cookies) == 1
    assert site.session_count() == 1
    # Whoever planted the token from before the login is not inside after it.
    assert site.sender().get("/who", headers={"Cookie": f"{COOKIE}={old}"}).json == NOBODY


def test_t42_logout_ends_the_session_before_the_cookie(site: Site) -> None:
    """The token is dead on the server, the cookie is removed with the attributes it had, and caches are cleared."""
    client = site.client()
    client.post("/ana")
    token = token_of(client)
    response = client.post("/logout")
    (cookie,) = response.headers.getlist("Set-Cookie")
    assert cookie == (
        f"{COOKIE}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert '"storage"' in response.headers["Clear-Site-Data"]
    assert token_of(client) is None
    assert site.guard.load(token) is None
    assert client.get("/who").json == NOBODY


def test_t42_logout_that_cannot_reach_the_store_leaves_the_cookie(site: Site) -> None:
    """A browser never forgets a token that still works."""
    client = site.client()
    client.post("/ana")
    site.store.failing = {"end"}
    response = client.post("/logout")
    assert response.status_code == 503
    assert "Set-Cookie" not in response.headers
    assert "Clear-Site-Data" not in response.headers
    site.store.failing = set()
    assert client.post("/logout").status_code == 200


def test_farewell_message_after_logout_is_in_a_new_session(site: Site) -> None:
    """What is written after the logout goes to a fresh anonymous session; nothing of the ended one is in it."""

    @site.view
    def leave() -> str:
        session["cart"].append(2)
        site.extension.logout()
        assert dict(session) == {}
        flash("see you")
        return ""

    @site.view
    def flashes() -> list[str]:
        return [str(message) for message in get_flashed_messages()]

    client = site.client()
    client.post("/put")
    client.post("/ana")
    former = token_of(client)
    response = client.post("/leave")
    assert len(response.headers.getlist("Set-Cookie")) == 1
    assert "cookies" not in response.headers["Clear-Site-Data"]
    assert token_of(client) not in (None, former)
    assert client.get("/flashes").json == ["see you"]
    assert client.get("/who").json == {"owner": "anonymous", "data": {}}


def test_t23_write_after_the_timeout_opens_a_new_session(site: Site) -> None:
    """An expired session is not brought back by writing; the visitor starts anew."""
    client = site.client()
    client.post("/ana")
    former = token_of(client)
    site.clock.advance(timedelta(days=1))
    client.post("/put")
    assert client.get("/who").json == {"owner": "anonymous", "data": {"cart": [1]}}
    assert token_of(client) != former


def test_t26_strangers_leave_nothing_behind(site: Site, sg_profile: Profile) -> None:
    """Unknown tokens, logouts and looks without a session create no row and no directory, and pile up nothing."""
    client = site.sender()
    environ = client.get("/who").request.environ
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    def ask(path: str, cookie: str | None) -> None:
        asked = {**environ, "PATH_INFO": path} | ({} if cookie is None else {"HTTP_COOKIE": cookie})
        b"".join(site.app.wsgi_app(asked, start_response))
        assert statuses.pop() == "200 OK"

    def round_of(number: int) -> None:
        forged = f"{COOKIE}=sg1_0_ab{number:043d}"
        for path in ("/who", "/logout"):
            ask(path, forged)
            ask(path, None)
        site.events.clear()
        site.store.asked()

    count = 40 * sg_profile.rounds**2
    for number in range(count // 4):
        round_of(number)
    files = set(site.workspaces.rglob("*"))
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(count // 4, count):
        round_of(number)
    gc.collect()
    assert sys.getallocatedblocks() - before < 2000
    assert site.session_count() == 0
    assert set(site.workspaces.rglob("*")) == files


def test_every_upload_gets_a_session_of_its_own(site: Site) -> None:
    """Tabs of one browser upload into separate workspaces; another visitor finds none of them."""

    @site.view
    def upload() -> dict[str, str]:
        fresh = site.extension.new_session("upload", {"step": 1})
        with site.extension.workspace(fresh) as workspace:
            workspace.write("marker.txt", fresh.id.encode())
        return {"id": fresh.id, "owner": fresh.owner}

    @site.view
    def read() -> Any:
        found = site.extension.own_session(request.args["id"], request.args.get("scope"))
        if found is None:
            return "", 404
        with site.extension.workspace(found) as workspace:
            return workspace.read("marker.txt")

    visitor, other = site.client(), site.client()
    uploads = [visitor.post("/upload").json for _ in range(3)]
    assert len({upload["id"] for upload in uploads if upload}) == 3
    assert len({upload["owner"] for upload in uploads if upload}) == 1
    theirs = other.post("/upload").json
    assert theirs is not None
    assert theirs["owner"] != uploads[0]["owner"]  # type: ignore[index]
    for upload_of_visitor in uploads:
        assert upload_of_visitor is not None
        path = f"/read?id={upload_of_visitor['id']}"
        assert visitor.get(path).text == upload_of_visitor["id"]
        assert other.get(path).status_code == 404
        assert visitor.get(f"{path}&scope=default").status_code == 404
    assert site.client().get(f"/read?id={theirs['id']}").status_code == 404


def test_ended_upload_is_not_found(site: Site) -> None:
    """A session that has ended is no longer the visitor's to use."""
    kept: list[Session] = []

    @site.view
    def upload() -> str:
        kept.append(site.extension.new_session("upload"))
        return ""

    @site.view
    def find() -> str:
        return str(site.extension.own_session(kept[0].id))

    client = site.client()
    client.post("/upload")
    assert kept[0].id in client.get("/find").text
    site.guard.end(kept[0])
    assert client.get("/find").text == "None"


def test_workspace_of_the_visitor(site: Site) -> None:
    """Without an argument the workspace is that of the visitor's own session, and ends with it."""
    kept: list[Session | None] = []

    @site.view
    def keep() -> str:
        session["a"] = 1
        with site.extension.workspace() as workspace:
            workspace.write("note.txt", b"mine")
        kept.append(current_session())
        return ""

    @site.view
    def read() -> bytes:
        with site.extension.workspace() as workspace:
            content: bytes = workspace.read("note.txt")
            return content

    client = site.client()
    client.post("/keep")
    assert client.get("/read").text == "mine"
    client.post("/ana")
    assert client.get("/read").text == "mine"
    client.post("/logout")
    with pytest.raises(SessionEndedError), site.guard.workspace(kept[0]):  # type: ignore[arg-type]
        pass


def test_name_that_leads_out_of_a_workspace_is_400(site: Site) -> None:
    """A file name from a form that would escape is the client's fault."""

    @site.view
    def write() -> str:
        with site.extension.workspace() as workspace:
            workspace.write("../../etc/passwd", b"")
        return ""

    assert site.client().post("/write").status_code == 400
