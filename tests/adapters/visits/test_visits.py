"""What a request does with its session: the same, blocking and awaited."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import AsyncSessionGuard, SessionGuard, current_session
from sessionguard.adapters.http import CookieSettings, HeaderSettings
from sessionguard.adapters.modes import READ_ONLY, Mode
from sessionguard.adapters.visits import REQUEST_LOCK, AsyncVisit, Visit, VisitRules, blocking_guard
from sessionguard.core.events import ContextLost, CookieRefused
from sessionguard.errors import (
    ConfigurationError,
    LockTimeoutError,
    MisuseError,
    SessionMismatchError,
    SessionSealedError,
    StoreUnavailableError,
)
from sessionguard.stores.memory import MemoryStore
from tests.adapters.site import WatchedStore
from tests.adapters.visits.conftest import Stage
from tests.architecture.guard_parity import differences

_SOON = timedelta(milliseconds=50)
_LONGER = timedelta(seconds=1)


def test_both_faces_are_one_interface() -> None:
    """Blocking and awaited visits have the same public names, parameters and first docstring lines, in one order."""
    assert differences(Visit, AsyncVisit) == []


def test_a_guard_that_must_be_awaited_serves_no_blocking_visit() -> None:
    """It is told as a wrong setting, before anything is asked."""
    rules = VisitRules(guard=AsyncSessionGuard.open("memory://"), transport=CookieSettings())
    with pytest.raises(ConfigurationError, match="give a SessionGuard"):
        blocking_guard(rules)
    with pytest.raises(ConfigurationError, match="give a SessionGuard"):
        Visit(rules)


# Resolved once


def test_visitor_is_looked_for_once(stage: Stage) -> None:
    """However often a request asks, and whether there is a session or not."""
    token = stage.guard.create("ana").token
    visit = stage.visit(token)
    assert stage.store.asked() == []
    found = visit.session()
    assert found is not None
    assert (visit.session(), visit.opened(), visit.expect(found.id)) == (found, found, found)
    assert stage.store.asked() == ["load"]
    ended = stage.guard.create("bob")
    stage.guard.end(ended)
    stranger = stage.visit(ended.token)
    assert [stranger.session(), stranger.session()] == [None, None]
    assert stage.store.asked() == ["load"]
    assert [stage.visit().session(), stage.visit().logout()] == [None, None]
    assert stage.store.asked() == []


def test_outage_stays_one_for_the_request(stage: Stage) -> None:
    """It is never told as "no session", and never followed by a new one."""
    visit = stage.visit(stage.guard.create("ana").token)
    stage.store.failing.add("load")
    for call in (visit.session, visit.opened, visit.rotate, visit.logout, visit.own_sessions, visit.session):
        with pytest.raises(StoreUnavailableError):
            call()
    assert stage.store.asked() == ["load"]


def test_current_session_is_that_of_the_visit(stage: Stage) -> None:
    """Inside the block and not after it."""
    visit = stage.visit(stage.guard.create("ana").token)
    found = visit.session()
    with visit.entered():
        assert current_session() is found
        visit.logout()
        assert current_session() is None
    assert current_session() is None


def test_slot_is_asked_for_once_a_request(stage: Stage) -> None:
    """The same question gets the same session; another owner, scope or external id is another question."""
    visit = stage.visit()
    first = visit.get_or_create("ana", scope="report", data={"n": 1})
    assert visit.get_or_create("ana", scope="report") is first
    others = [
        visit.get_or_create("bob", scope="report"),
        visit.get_or_create("ana"),
        visit.get_or_create("ana", scope="report", external_id="42"),
    ]
    assert len({first.id, *(other.id for other in others)}) == 4
    assert stage.store.asked() == ["get_or_create"] * 4
    assert visit.private([]) != []


# Another session than the one the request goes on with


def test_carried_id_of_another_session_is_noticed(stage: Stage) -> None:
    """A page that believes itself in another session is refused, with both ids; so is one without a session."""
    ana, other = stage.guard.create("ana"), stage.guard.create("ana")
    with pytest.raises(SessionMismatchError) as caught:
        stage.visit(ana.token).expect(other.id)
    assert (caught.value.session_id, caught.value.found) == (other.id, ana.id)
    with pytest.raises(SessionMismatchError):
        stage.visit().expect(ana.id)
    assert stage.events_of(ContextLost) == [ContextLost(other.id, ana.id, "ana"), ContextLost(ana.id, None, None)]


def test_slot_that_changes_hands_within_a_request_is_noticed(stage: Stage) -> None:
    """The guard, asked past the visit, gives another session for the slot: somebody replaced it meanwhile."""
    visit = stage.visit()
    visit.session()
    with visit.entered():
        first = visit.get_or_create("ana")
        assert stage.asked.get_or_create("ana").id == first.id
        assert stage.events_of(ContextLost) == []
        second = stage.guard.replace("ana")
        assert stage.asked.get_or_create("ana").id == second.id
        stage.asked.create("ana")
    stage.asked.get_or_create("ana")
    assert stage.events_of(ContextLost) == [ContextLost(first.id, second.id, "ana")]


def test_lost_context_is_told_of_once(stage: Stage) -> None:
    """However many applications there are over one guard, and however often they are set up anew."""
    applications = [stage.rules() for _ in range(3)]
    visit = stage.visit(rules=applications[0])
    visit.session()
    with visit.entered():
        first = visit.get_or_create("ana")
        second = stage.guard.replace("ana")
        stage.asked.get_or_create("ana")
    assert stage.events_of(ContextLost) == [ContextLost(first.id, second.id, "ana")]


# Own devices


def test_own_sessions_are_those_of_the_visitor(stage: Stage) -> None:
    """Newest first, of one kind; nobody has none."""
    phone, laptop, _ = (stage.guard.create(owner) for owner in ("ana", "ana", "bob"))
    visit = stage.visit(phone.token)
    upload = visit.new_session("upload", {"name": "a"})
    assert {session.id for session in visit.own_sessions()} == {phone.id, laptop.id}
    assert [session.id for session in visit.own_sessions("upload")] == [upload.id]
    assert stage.visit().own_sessions() == ()
    assert visit.own_session(upload.id, "upload") is not None
    assert [visit.own_session(upload.id, "default"), visit.own_session("no such id")] == [None, None]


def test_other_devices_are_logged_out(stage: Stage) -> None:
    """The one asking stays, and so do uploads; everywhere takes this one, its token and the uploads with it."""
    phone, laptop, bob = (stage.guard.create(owner) for owner in ("ana", "ana", "bob"))
    visit = stage.visit(phone.token)
    upload = visit.new_session("upload")
    assert visit.logout_others() == 1
    assert stage.guard.load(laptop.token or "") is None
    assert {session.id for session in stage.guard.sessions(owner="ana")} == {phone.id, upload.id}
    assert visit.logout_everywhere() == 2
    assert [session.id for session in stage.guard.sessions()] == [bob.id]
    assert ("Clear-Site-Data", '"cache", "storage"') in visit.private([])
    assert visit.session() is None
    assert [stage.visit().logout_others(), stage.visit().logout_everywhere()] == [0, 0]


# Modes


def test_read_only_request_changes_nothing(stage: Stage) -> None:
    """Every call that would is a misuse, before any store is asked; looking is none."""
    visit = stage.visit(stage.guard.create("ana", data={"n": 1}).token)
    visit.enter_mode(READ_ONLY)
    assert visit.session() is not None
    assert visit.fields is not None
    assert visit.fields["n"] == 1
    stage.store.asked()
    calls: list[Any] = [
        lambda: visit.login("bob"),
        visit.rotate,
        visit.logout,
        visit.logout_others,
        lambda: visit.get_or_create("bob"),
        visit.logout_everywhere,
        visit.new_session,
        lambda: visit.fields.update(n=2),
    ]
    for call in calls:
        with pytest.raises(MisuseError, match="read_only"):
            call()
    nobody = stage.visit()
    nobody.enter_mode(READ_ONLY)
    with pytest.raises(MisuseError, match="read_only"):
        nobody.opened()
    visit.save()
    assert stage.store.asked() == []


def test_sealed_request_changes_nothing(stage: Stage) -> None:
    """After the response, every call that would change anything is refused, before any store is asked."""
    visit = stage.visit(stage.guard.create("ana", data={"n": 1}).token)
    visit.session()
    visit.seal()
    stage.store.asked()
    calls: list[Any] = [
        lambda: visit.login("bob"),
        visit.rotate,
        visit.logout,
        visit.logout_others,
        visit.logout_everywhere,
        visit.new_session,
        lambda: visit.fields.update(n=2),  # type: ignore[union-attr]
    ]
    for call in calls:
        with pytest.raises(SessionSealedError):
            call()
    assert stage.store.asked() == []


def test_mode_may_be_entered_after_the_session_was_looked_at(stage: Stage) -> None:
    """The turn is waited for then, and what it left is seen; with something written already, it is a misuse."""
    ana = stage.guard.create("ana", data={"n": 1})
    visit = stage.visit(ana.token)
    visit.session()
    assert visit.fields is not None
    assert visit.fields["n"] == 1
    stage.guard.save(ana, {"n": 2})
    stage.store.asked()
    visit.enter_mode(Mode("serial"))
    assert stage.store.asked() == ["acquire_lock", "load"]
    assert visit.fields["n"] == 2
    with pytest.raises(LockTimeoutError), stage.guard.lock(ana, REQUEST_LOCK, timeout=_SOON):
        pass
    visit.enter_mode(Mode("merge"))
    with stage.guard.lock(ana, REQUEST_LOCK, timeout=_SOON):
        pass
    visit.fields["n"] = 3
    with pytest.raises(MisuseError, match="before the view"):
        visit.enter_mode(Mode("serial"))


def test_session_that_ends_before_the_turn_comes_is_none(stage: Stage) -> None:
    """It was looked at before the wait, and is not gone on with after it."""
    ana = stage.guard.create("ana", data={"n": 1})
    visit = stage.visit(ana.token)
    assert visit.session() is not None
    stage.guard.end(ana)
    visit.enter_mode(Mode("serial"))
    assert visit.session() is None
    assert visit.fields is not None
    assert dict(visit.fields) == {}


def test_lock_that_cannot_be_given_back_lapses(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The work is done and answered; nobody is told of an error."""
    visit = stage.visit(stage.guard.create("ana").token, stage.rules(concurrency="serial"))
    visit.session()
    stage.store.failing.add("release_lock")
    visit.release()
    assert "could not give back its turn" in caplog.text
    visit.release()


def test_request_cancelled_while_it_waits_for_its_turn_holds_nothing() -> None:
    """A lock that a thread was just taking for it is given back, for nobody would."""
    inner = MemoryStore()
    store = WatchedStore(inner)
    guard, other = (SessionGuard(asked, sweep_interval=None) for asked in (store, inner))
    rules = VisitRules(guard=guard, transport=CookieSettings(), concurrency="serial")
    ana = guard.create("ana")

    async def cancelled() -> None:
        visit = AsyncVisit(rules, (f"__Host-sg={ana.token}".encode(),))
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        def tell(verb: str) -> None:
            if verb == "acquire_lock":
                loop.call_soon_threadsafe(asked.set)

        with other.lock(ana, REQUEST_LOCK):
            store.before = tell
            waiting = asyncio.create_task(visit.session())
            await asyncio.wait_for(asked.wait(), 30)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await visit.seal()

    asyncio.run(cancelled())
    with other.lock(ana, REQUEST_LOCK, timeout=_SOON):
        pass
    guard.close()
    other.close()


def test_queue_of_one_visitor_holds_up_no_other() -> None:
    """However many requests of a session wait over a blocking guard, another's turn is free, and all waits end."""
    store = MemoryStore()
    guard, other = (SessionGuard(store, sweep_interval=None) for _ in range(2))
    rules = VisitRules(guard=guard, transport=CookieSettings(), concurrency="serial", lock_timeout=_LONGER)
    ana, bob = guard.create("ana"), guard.create("bob")

    def request(token: str | None) -> AsyncVisit:
        return AsyncVisit(rules, (f"__Host-sg={token}".encode(),))

    async def crowded() -> None:
        loop = asyncio.get_running_loop()
        with other.lock(ana, REQUEST_LOCK):
            began = loop.time()
            crowd = [asyncio.create_task(request(ana.token).session()) for _ in range(100)]
            await asyncio.sleep(0)
            visit = request(bob.token)
            await visit.session()
            assert not any(waiting.done() for waiting in crowd)
            await visit.seal()
            ends = await asyncio.gather(*crowd, return_exceptions=True)
            assert {type(end) for end in ends} == {LockTimeoutError}
            # The time of those in front counts: one after the other, they would take a hundred times as long.
            assert loop.time() - began < 10 * _LONGER.total_seconds()

    asyncio.run(crowded())
    guard.close()
    other.close()


# How tokens travel


@pytest.mark.parametrize(
    "values, problem",
    [([b"{}"], None), ([b" {} "], None), ([b"{}", b"{}"], "several headers"), ([b"{},other"], "several headers")],
)
def test_token_in_a_header_is_one_value_or_none(stage: Stage, values: list[bytes], problem: str | None) -> None:
    """Two values, in two headers or in one, are nobody and an event."""
    token = (stage.guard.create("ana").token or "").encode()
    rules = stage.rules(transport=HeaderSettings(name="X-Token"))
    visit = stage.visit(rules=rules, presented=[value.replace(b"{}", token) for value in values])
    assert (visit.session() is None) is (problem is not None)
    assert stage.events_of(CookieRefused) == ([] if problem is None else [CookieRefused(problem)])
    assert ("Vary", "X-Token") in visit.private([])


@pytest.mark.parametrize("values", [[], [b""], [b" \t"]])
def test_empty_header_is_nobody_and_no_event(stage: Stage, values: list[bytes]) -> None:
    """A client that has forgotten its token may say so."""
    visit = stage.visit(rules=stage.rules(transport=HeaderSettings()), presented=values)
    assert visit.session() is None
    assert stage.events_of(CookieRefused) == []
    assert stage.store.asked() == []
    owner = visit.login("ana")
    assert ("SessionGuard-Token", owner.token) in visit.private([])
    visit.logout()
    assert ("SessionGuard-Token", "") in visit.private([])
