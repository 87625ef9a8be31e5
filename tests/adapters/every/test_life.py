"""What becomes of sessions and of those who hold them, in every framework: one text, run under each."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from sessionguard import Session, SessionGuard, SessionPolicy, current_session, open_store
from sessionguard.adapters.visits import REQUEST_LOCK
from sessionguard.errors import MisuseError, SessionEndedError, SessionSealedError
from sessionguard.testing.profile import Profile
from tests.adapters.every.conftest import Build
from tests.adapters.every.house import COOKIE, At, House, unknown_token
from tests.adapters.every.sending import PlantedError

MISSING: list[Any] = [None, "", " ", "None", "null", "undefined", 0, True, b"ana", [], "a\x00b"]
WELL_FORMED = "0" * 34
MADE_UP = [WELL_FORMED, "../../etc/passwd", "x" * 100_000]
GRACE = timedelta(seconds=20)
TICK = timedelta(microseconds=1)


async def me(at: At) -> str:
    """Tell who the visitor is."""
    session = current_session()
    return "nobody" if session is None else session.owner


async def put(at: At) -> None:
    """Write."""
    at.fields["n"] = 1


async def ana(at: At) -> None:
    """Log in."""
    await at.visit.login("ana")


async def logout(at: At) -> None:
    """Log out."""
    await at.visit.logout()


async def rotate(at: At) -> None:
    """Get a new token."""
    await at.visit.rotate()


@pytest.fixture
def house(build: Build) -> House:
    """Give an application with these views."""
    return furnished(build())


def furnished(house: House) -> House:
    """Give `house` with these views."""
    for view in (me, put, ana, logout, rotate):
        house.view(view)
    return house


# A. Isolation


def test_t07_what_is_missing_is_nobody_and_nothing(house: House) -> None:
    """What a missing value looks like becomes no owner and no kind of session, and finds none; no store is asked."""
    given: list[Any] = []

    @house.view
    async def login(at: At) -> None:
        await at.visit.login(given[0])

    @house.view
    async def begin(at: At) -> None:
        await at.visit.new_session(given[0])

    @house.view
    async def find(at: At) -> Any:
        return await at.visit.own_session(given[0])

    for value in MISSING:
        given[:] = [value]
        assert house.send("/login", method="POST").status == 400, value
        if value is not None:
            assert house.send("/begin", method="POST").status == 400, value
    assert house.store.asked() == []
    assert house.sessions() == []
    visitor = house.visitor("ana")
    for value in [*MISSING, *MADE_UP]:
        given[:] = [value]
        assert visitor.get("/find").text == "None", value
    assert house.store.asked().count("get") == MADE_UP.count(WELL_FORMED)


def test_owner_of_a_visitor_can_not_be_taken_by_login(house: House) -> None:
    """Logs and lists show what visitors are called: whoever registers under that name would get their sessions."""
    owner = house.guard.create().owner

    @house.view
    async def steal(at: At) -> None:
        await at.visit.login(owner)

    house.store.asked()
    assert house.send("/steal", method="POST").status == 400
    assert house.store.asked() == []
    assert house.visitor().send("POST", "/steal").status == 400
    assert len(list(house.guard.sessions(owner=owner))) == 1


def test_own_session_that_is_used_lives_on(house: House) -> None:
    """As long as the visitor comes back before its idle timeout; between two touches nothing is written."""
    begun: list[str] = []

    @house.view
    async def begin(at: At) -> None:
        begun.append((await at.visit.new_session()).id)

    @house.view
    async def find(at: At) -> Any:
        return await at.visit.own_session(begun[0])

    visitor = house.visitor("ana")
    visitor.post("/begin")
    house.store.asked()
    assert visitor.get("/find").text != "None"
    assert house.store.asked() == ["load", "get"]
    idle = house.policy.idle_timeout
    for _ in range(4):
        house.clock.advance(idle / 2)
        assert visitor.get("/find").text != "None"
        assert house.store.asked() == ["load", "get", "load"]
    house.clock.advance(idle)
    visitor.cookies.update(house.visitor("ana").cookies)
    assert visitor.get("/find").text == "None"


def test_t08_session_is_sealed_after_the_response(house: House) -> None:
    """Whoever keeps the session of a request can read it, and not write, from another request or thread."""
    kept: list[At] = []

    @house.view
    async def keep(at: At) -> None:
        at.fields["a"] = 1
        assert at.visit is not None
        kept.append(at)

    @house.view
    async def misuse(at: At) -> str:
        for write in (lambda: kept[0].fields.update({"b": 2}), kept[0].fields.clear, lambda: kept[0].fields.pop("a")):
            with pytest.raises(SessionSealedError):
                write()
            with pytest.raises(SessionSealedError):
                await at.aside(write)
        for name, arguments in (("login", ["eve"]), ("logout", []), ("rotate", []), ("new_session", [])):
            with pytest.raises(SessionSealedError):
                await getattr(kept[0].visit, name)(*arguments)
        return "refused"

    visitor = house.browser()
    visitor.post("/keep")
    assert house.browser().post("/misuse").text == "refused"
    assert [dict(found.data)["a"] for found in house.sessions()] == [1]


def test_t09_no_session_is_left_where_a_request_ran(house: House) -> None:
    """Threads beside a request find no session; nor does what runs where one ran, be it answered or failed."""

    @house.view
    async def use(at: At) -> str:
        await at.visit.login("ana")
        assert current_session() is not None
        return str(await at.aside(current_session))

    @house.view
    async def fail(at: At) -> None:
        assert current_session() is not None
        raise PlantedError

    visitor = house.browser()
    assert visitor.post("/use").text == "None"
    assert set(house.app.current()) == {None}
    assert visitor.get("/fail").status == 500
    assert set(house.app.current()) == {None}
    assert (house.send("/me").text, visitor.get("/me").text) == ("nobody", "ana")


def test_t10_work_that_outlives_its_session_is_told_so(house: House) -> None:
    """A job that goes on after the end of its session stores nothing and makes no file; so after closing."""
    kept: list[tuple[At, Session]] = []

    @house.view
    async def begin(at: At) -> None:
        upload = await at.visit.new_session("upload")
        async with at.guard.workspace(upload) as workspace:
            await workspace.write("a.txt", b"a")
        kept.append((at, upload))

    async def go_on(error: type[Exception]) -> None:
        at, upload = kept[0]
        with pytest.raises(error):
            await at.guard.save(upload, {"late": 1})
        with pytest.raises(error):
            async with at.guard.workspace(upload):
                pass
        with pytest.raises(SessionSealedError):
            await at.visit.new_session("upload")

    house.browser().post("/begin")
    assert any(path.name == "a.txt" for path in house.workspaces.rglob("*"))
    house.guard.end(kept[0][1])
    left = set(house.workspaces.rglob("*"))
    assert not any(path.name == "a.txt" for path in left)
    house.app.run(go_on(SessionEndedError))
    assert set(house.workspaces.rglob("*")) == left

    async def close() -> None:
        await kept[0][0].guard.close()

    house.app.run(close())
    house.app.run(go_on(MisuseError))
    assert set(house.workspaces.rglob("*")) == left
    assert [dict(found.data) for found in house.sessions() if found.scope == "upload"] == [{}]


# C. Life cycle


def test_t20_slow_request_brings_nothing_back(house: House) -> None:
    """It loads, another logs out, it saves: 409, no cookie, and the token stays dead."""
    visitor = house.visitor("ana", n=0)
    twin = house.browser(visitor.cookies[COOKIE])

    @house.view
    async def slow(at: At) -> str:
        at.fields["n"] += 1
        assert (await at.aside(lambda: visitor.post("/logout"))).status == 200
        return "saved"

    answer = twin.post("/slow")
    assert (answer.status, answer.all("Set-Cookie")) == (409, [])
    assert "saved" not in answer.text
    assert twin.get("/me").text == "nobody"
    (ended,) = house.sessions()
    assert (ended.status, ended.owner) == ("ended", "ana")


def test_t21_request_that_outlasts_its_session_stores_nothing(house: House) -> None:
    """At the deadline neither its write nor a look extends anything; what is stored keeps its owner and its end."""
    visitor = house.visitor("ana", n=0)
    (before,) = house.sessions()

    @house.view
    async def slow(at: At) -> str:
        at.fields["n"] += 1
        house.clock.now = before.expires_at
        return "saved"

    answer = visitor.post("/slow")
    assert (answer.status, answer.all("Set-Cookie")) == (409, [])
    assert visitor.get("/me").text == "nobody"
    (found,) = house.sessions()
    assert (found.owner, found.expires_at, found.data.get("n")) in [("ana", before.expires_at, n) for n in (0, None)]
    house.guard.sweep()
    assert [(each.id, each.status) for each in house.sessions()] == [(before.id, "ended")]


def test_t22_two_rotations_at_once_have_one_winner(house: House) -> None:
    """The loser sets no cookie; the old token goes on for its grace, never rotates, and is dead then."""
    visitor = house.visitor("ana")
    old = visitor.cookies[COOKIE]
    late = house.browser(old)

    @house.view
    async def rotate_late(at: At) -> None:
        assert current_session() is not None
        await at.aside(lambda: visitor.post("/rotate"))
        await at.visit.rotate()

    assert late.post("/rotate_late").all("Set-Cookie") == []
    new = visitor.cookies[COOKIE]
    assert new != old
    house.clock.advance(GRACE - TICK)
    assert late.post("/rotate").all("Set-Cookie") == []
    assert late.get("/me").text == "ana"
    house.clock.advance(TICK)
    assert (late.get("/me").text, visitor.get("/me").text) == ("nobody", "ana")
    assert len(house.sessions()) == 1


@pytest.mark.parametrize("limit", ["idle", "absolute"])
def test_t23_session_is_over_at_its_timeout_not_before(build: Build, limit: str) -> None:
    """One microsecond before either timeout the visitor is known; at it, and after it, nobody is."""
    for late, who in ((-TICK, "ana"), (timedelta(0), "nobody"), (TICK, "nobody")):
        policy = SessionPolicy(
            idle_timeout=timedelta(hours=1), absolute_timeout=timedelta(hours=3), touch_interval=timedelta(0)
        )
        house = furnished(build(policy))
        visitor = house.visitor("ana")
        for _ in range(4 if limit == "absolute" else 0):
            house.clock.advance(timedelta(minutes=40))
            assert visitor.get("/me").text == "ana"
        house.clock.advance(timedelta(minutes=20 if limit == "absolute" else 60) + late)
        assert visitor.get("/me").text == who


def test_t24_busiest_visitor_ends_at_the_absolute_timeout(build: Build) -> None:
    """Requests without a pause, writing and reading, extend a session up to that and not past it."""
    policy = SessionPolicy(
        idle_timeout=timedelta(minutes=2), absolute_timeout=timedelta(minutes=10), touch_interval=timedelta(0)
    )
    house = furnished(build(policy))
    visitor = house.visitor("ana")
    token = visitor.cookies[COOKIE]
    seen = []
    for minute in range(12):
        seen.append(house.send("/me", f"{COOKIE}={token}").text)
        if minute < 10:
            assert house.send("/put", f"{COOKIE}={token}", "POST").status == 200
        house.clock.advance(timedelta(minutes=1))
    assert seen == ["ana"] * 10 + ["nobody"] * 2


def test_t22_request_under_way_at_a_login_gets_none_of_the_owners_files(house: House) -> None:
    """It found the visitor's session, perhaps by a token that its sender had planted, and another logs in with it."""
    owned: list[Session] = []

    @house.view
    async def late(at: At) -> str:
        known = current_session()
        assert known is not None
        owned.append(house.guard.rotate(known, owner="ana"))
        with house.guard.workspace(owned[0]) as workspace:
            workspace.write("own.txt", b"1")
        with pytest.raises(SessionEndedError, match="login"):
            async with at.guard.workspace(known):
                pass
        return "refused"

    assert house.visitor().get("/late").text == "refused"
    with house.guard.workspace(owned[0]) as workspace:
        assert workspace.read("own.txt") == b"1"


def test_t22_request_from_before_a_login_takes_no_cookie_from_it(house: House) -> None:
    """It wrote and is refused: neither its answer nor what it writes then sets a cookie over that of the login."""

    @house.view
    async def caught(at: At) -> str:
        known = current_session()
        assert known is not None
        at.fields["step"] = 1
        house.guard.rotate(known, owner="ana")
        with pytest.raises(SessionEndedError, match="login"):
            await at.visit.new_session()
        at.fields["step"] = 2
        return "done"

    @house.view
    async def uncaught(at: At) -> None:
        known = current_session()
        assert known is not None
        at.fields["step"] = 1
        house.guard.rotate(known, owner="bob")
        await at.visit.rotate()

    for view in (caught, uncaught):
        answer = house.visitor().get(f"/{view.__name__}")
        assert (answer.status, answer.all("Set-Cookie")) == (409, [])
    assert {session.owner: dict(session.data) for session in house.sessions()} == {"ana": {}, "bob": {}}


def test_t22_turn_that_comes_after_a_login_is_not_taken(build: Build) -> None:
    """A request that waits for its turn with the visitor's session goes on as nobody, and holds up no one."""
    house = furnished(build(SESSIONGUARD_CONCURRENCY="serial"))
    planted = house.guard.create()
    owned: list[Session] = []

    def login(verb: str) -> None:
        if verb == "acquire_lock" and not owned:
            owned.append(house.guard.rotate(planted, owner="ana"))

    house.store.before = login
    assert house.browser(planted.token).get("/me").text == "nobody"
    # With its turn it would have looked for the session again.
    assert house.store.asked()[:3] == ["load", "acquire_lock", "get"]
    with house.guard.lock(owned[0], REQUEST_LOCK, timeout=timedelta(0)):
        pass


def test_t25_logins_that_race_with_the_end_of_their_owner(house: House, sg_profile: Profile) -> None:
    """When it has returned, no session that was there before it is usable; later ones are."""
    callers = 3
    for _ in range(1 if sg_profile.name == "ci" else sg_profile.rounds):
        before = [house.visitor("ana") for _ in range(3)]
        start = Barrier(callers + 1, timeout=30)

        def login(_: int, start: Barrier = start) -> Any:
            start.wait()
            browser = house.browser()
            browser.post("/ana")
            return browser

        def end(start: Barrier = start) -> int:
            start.wait()
            return house.guard.end_owner("ana")

        with ThreadPoolExecutor(callers + 1) as pool:
            ending = pool.submit(end)
            late = list(pool.map(login, range(callers)))
            assert ending.result() >= 3
        assert {browser.get("/me").text for browser in before} == {"nobody"}
        active = sum(found.status == "active" for found in house.sessions())
        assert active == sum(browser.get("/me").text == "ana" for browser in late)
        house.guard.end_owner("ana")


def test_t26_strangers_leave_nothing_behind(house: House, sg_profile: Profile) -> None:
    """Unknown tokens, logouts and looks without a session leave no row, no directory and no memory."""

    def ask(number: int) -> None:
        for cookie in (None, f"{COOKIE}={unknown_token(house.app.token_form, number)}"):
            for path in ("/me", "/logout"):
                assert house.send(path, cookie, "POST").status == 200
        house.events.clear()
        house.store.verbs.clear()

    for number in range(20):
        ask(number)
    files = set(house.workspaces.rglob("*"))
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(2_000 if sg_profile.name == "deep" else 20):
        ask(number)
    gc.collect()
    assert sys.getallocatedblocks() - before < 2_000
    assert house.sessions() == []
    assert set(house.workspaces.rglob("*")) == files


def test_t27_emptied_session_is_under_no_empty_key(house: House) -> None:
    """Clearing leaves a session whose it is; what is written after a logout has ids of its own."""

    @house.view
    async def clear(at: At) -> None:
        at.fields.clear()

    @house.view
    async def leave(at: At) -> None:
        await at.visit.logout()
        at.fields["bye"] = 1

    visitor = house.visitor("ana", n=1)
    assert visitor.post("/clear").status == 200
    assert [(found.owner, dict(found.data).get("n")) for found in house.sessions()] == [("ana", None)]
    assert visitor.post("/leave").status == 200
    first, second = sorted(house.sessions(), key=lambda found: found.owner == "ana")
    assert (second.status, first.status, dict(first.data)["bye"]) == ("ended", "active", 1)
    assert all([first.id, first.owner.strip(), first.scope.strip(), visitor.cookies[COOKIE].strip()])
    assert house.send("/me", f"{COOKIE}=").text == "nobody"
    assert "" not in {*first.data}


def test_t33_token_of_another_place_opens_nothing(house: House) -> None:
    """Another kind of session, another deployment: whoever brings their token is nobody, and it is not adopted."""
    form: Any = house.app.token_form
    with SessionGuard(open_store("memory://"), sweep_interval=None, token_form=form) as other:
        foreign = [house.guard.create("ana", scope="admin", data={"n": 7}), other.create("ana", data={"n": 7})]

    @house.view
    async def read(at: At) -> Any:
        return f"{at.fields.get('n')} {current_session()}"

    for session in foreign:
        visitor = house.browser(session.token)
        assert visitor.get("/read").text == "None None"
        visitor.post("/put")
        assert visitor.cookies[COOKIE] != session.token
    assert sorted(found.owner == "ana" for found in house.guard.sessions(scope="default")) == [False, False]
