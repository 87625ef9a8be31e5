"""One scenario for every application, under real servers with two worker processes, on every engine."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.adapters.served.conftest import ServeOn
from tests.adapters.served.fronts import ENGINES, Front
from tests.adapters.served.gates import SECONDS, Gate
from tests.adapters.served.visitors import COOKIE, SetCookie, Visitor, set_cookies

pytestmark = pytest.mark.processes

TABS = 3
TOGETHER = 6
LIMITS = frozenset({"path=/", "secure=", "httponly=", "samesite=lax"})


def test_login_gives_a_token_that_nobody_held_before(front: Front, owner: str) -> None:
    """The session of before keeps its data and gets a new token, and whoever holds the old one is never given it."""
    visitor = Visitor(front.url)
    assert visitor.get("/me").json() == {"owner": None, "data": {}}
    assert visitor.token is None
    visitor.post("/put", field="cart", value="lamp")
    planted = visitor.copy()
    assert planted.token is not None
    answer = visitor.post("/login", owner=owner)
    (cookie,) = map(SetCookie.parse, set_cookies(answer))
    assert (cookie.name, cookie.attributes) == (COOKIE, LIMITS)
    assert len(cookie.value) >= 32
    assert visitor.get("/me").json() == {"owner": owner, "data": {"cart": "lamp"}}
    assert visitor.token != planted.token
    planted.post("/put", field="cart", value="none")
    assert planted.token != visitor.token
    found = planted.get("/me").json()
    assert found["owner"].startswith("anonymous-")
    assert found["data"] == {"cart": "none"}
    assert visitor.get("/me").json() == {"owner": owner, "data": {"cart": "lamp"}}


def test_requests_at_the_same_time_undo_nothing(visitor: Visitor) -> None:
    """Requests that all read before any of them writes keep each what it wrote, and none is given a cookie."""
    fields = [f"f{number}" for number in range(TOGETHER)]
    for field in fields:
        visitor.post("/put", field=field, value="before")
    with Gate() as gate, ThreadPoolExecutor(TOGETHER) as pool:
        sent = [pool.submit(visitor.post, "/put", field=field, value=field, gate=gate) for field in fields]
        gate.wait_for(TOGETHER)
        gate.open()
        answers = [each.result() for each in sent]
    assert [answer.status_code for answer in answers] == [200] * TOGETHER
    assert not any(set_cookies(answer) for answer in answers)
    assert visitor.get("/me").json()["data"] == {field: field for field in fields}


def test_t22_rotation_during_a_slow_request(visitor: Visitor) -> None:
    """Of two rotations at once one sets the cookie; a request under way with the old token does what it was to."""
    before = visitor.copy()
    # Each with the old token, however late it is sent: whoever had the new one by then would rotate once more.
    tabs = [before.copy(), before.copy()]
    with Gate() as gate, ThreadPoolExecutor(3) as pool:
        slow = pool.submit(before.copy().post, "/put", field="slow", value="kept", gate=gate)
        gate.wait_for()
        rotated = [each.result() for each in [pool.submit(tab.post, "/rotate") for tab in tabs]]
        gate.open()
        late = slow.result()
    assert len([line for answer in rotated for line in set_cookies(answer)]) == 1
    assert [answer.status_code for answer in (*rotated, late)] == [200] * 3
    (winner,) = (tab for tab in tabs if tab.token != before.token)
    assert winner.get("/me").json()["data"] == {"slow": "kept"}
    assert not any(set_cookies(answer) for answer in (late, before.post("/rotate")))


def test_t20_logout_during_a_slow_request(visitor: Visitor) -> None:
    """What a request saves after the logout is refused and brings nothing back, neither session nor cookie."""
    before = visitor.copy()
    with Gate() as gate, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(before.post, "/put", field="secret", value="late", gate=gate)
        gate.wait_for()
        farewell = visitor.post("/logout")
        gate.open()
        late = slow.result()
    assert SetCookie.parse(*set_cookies(farewell)) == SetCookie(COOKIE, "", LIMITS, True)
    assert "storage" in farewell.headers["Clear-Site-Data"]
    assert late.status_code == 409
    assert set_cookies(late) == []
    assert before.get("/me").json() == {"owner": None, "data": {}}


def test_t39_what_depends_on_the_visitor_is_kept_by_nobody(visitor: Visitor) -> None:
    """Whatever the view says, the response forbids caches to keep it."""
    for path in ("/", "/me", "/account/x.css"):
        headers = visitor.get(path).headers
        assert headers["Cache-Control"] == "private, no-store"
        assert "Cookie" in headers["Vary"].split(", ")
    assert "Vary" not in visitor.get("/ready").headers


def test_tabs_have_sessions_of_their_own(front: Front, visitor: Visitor) -> None:
    """Tabs that open and upload at once keep their values and files apart; nobody else reaches them."""
    with ThreadPoolExecutor(TABS) as pool:
        tabs = [answer.json()["tab"] for answer in pool.map(visitor.post, ["/tabs"] * TABS)]
        assert len(set(tabs)) == TABS
        sent = [pool.submit(visitor.post, f"/tabs/{tab}/files", files={"file": ("t.csv", tab)}) for tab in tabs]
        sent += [pool.submit(visitor.post, f"/tabs/{tab}", field="tab", value=tab) for tab in tabs]
        assert [each.result().status_code for each in sent] == [200] * 2 * TABS
    for tab in tabs:
        assert visitor.get(f"/tabs/{tab}").json() == {"data": {"tab": tab}, "files": ["t.csv"]}
        assert visitor.get(f"/tabs/{tab}/files/t.csv").text == tab
    stranger = Visitor(front.url)
    stranger.post("/login", owner="stranger")
    unknown = stranger.get(f"/tabs/{'0' * len(tabs[0])}")
    for other in (stranger, Visitor(front.url)):
        refused = other.get(f"/tabs/{tabs[0]}")
        assert (refused.status_code, refused.text) == (404, unknown.text)
        assert other.get(f"/tabs/{tabs[0]}/files/t.csv").status_code == 404


def test_t47_programs_name_their_sessions(front: Front, owner: str) -> None:
    """The id that a program passes is taken exactly, from all its calls at once, and selects nothing of another's."""
    one, other = (Visitor(front.url, headers={"X-Api-Key": f"{owner}-{number}"}) for number in (1, 2))
    names = [f"d{number}" for number in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        sent = [pool.submit(one.post, f"/documents/{name}", _sid="42") for name in names]
        assert [each.result().status_code for each in sent] == [200] * TOGETHER
    assert sorted(one.post("/documents/last", _sid="42").json()) == [*names, "last"]
    assert one.post("/documents/first", _sid="43").json() == ["first"]
    assert other.post("/documents/mine", _sid="42").json() == ["mine"]
    assert Visitor(front.url).post("/documents/any", _sid="42").status_code == 404
    assert one.get("/debug-sessions", _sid="42").status_code == 404
    operator = Visitor(front.url, headers={"X-Api-Key": f"{owner}-1", "X-Operator": "yes"})
    shown = operator.get("/debug-sessions", _sid="42").json()
    assert (shown["current_session"]["session_id"], shown["total"]) == ("42", 2)
    assert [one.post("/clear-session", _sid="42").json()["cleared"] for _ in range(2)] == [True, False]
    assert one.post("/new-session", _sid="42").json()["session_id"] == "42"
    assert one.post("/documents/again", _sid="42").json() == ["again"]
    assert sorted(one.post("/documents/second", _sid="43").json()) == ["first", "second"]
    assert other.post("/documents/yours", _sid="42").json() == ["mine", "yours"]
    assert [each.cookies for each in (one, other, operator)] == [{}] * 3


def test_t60_without_store(serve: ServeOn, owner: str) -> None:
    """Nobody is told to be logged out while the store is away; when it is back all goes on, without a restart."""
    # All engines at once: each request waits for as long as its store's patience.
    with ThreadPoolExecutor(len(ENGINES)) as pool:
        fronts = [serve(engine) for engine in ENGINES]
        for each in [pool.submit(outlive_an_outage, front, owner) for front in fronts]:
            each.result()


def outlive_an_outage(front: Front, owner: str) -> None:
    """See what a visitor is told while the store is away and afterwards."""
    visitor = Visitor(front.url)
    visitor.post("/login", owner=owner)
    visitor.post("/put", field="kept", value="yes")
    before = visitor.get("/me").json()
    with front.without_store(), ThreadPoolExecutor(3) as pool:
        told = [pool.submit(visitor.post, "/logout"), pool.submit(visitor.post, "/put", field="kept", value="no")]
        looked = pool.submit(visitor.get, "/me").result()
        # A file that somebody else writes can still be read.
        assert looked.status_code == 503 or looked.json() == before
        for answer in [each.result() for each in told]:
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert set_cookies(answer) == []
    # Each process may have to find out for itself that it is back.
    deadline = time.monotonic() + SECONDS
    while visitor.get("/me").status_code != 200:
        assert time.monotonic() < deadline
    assert visitor.get("/me").json() == before
