"""The session engine as Django and its users call it: what is stored, what is noticed, what is never taken."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.serializers import JSONSerializer
from django.core.serializers.json import DjangoJSONEncoder
from django.test import override_settings

from sessionguard import SessionPolicy
from sessionguard.adapters.django.engine import SessionStore
from sessionguard.core.events import SessionExpired
from sessionguard.errors import ConfigurationError, SessionLimitError, StoreUnavailableError
from tests.adapters.django.conftest import BuildProject
from tests.adapters.django.project import Project

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


def stored(**values: Any) -> SessionStore:
    """Give a session with these values, stored."""
    session = SessionStore()
    session.update(values)
    session.save()
    return session


def again(session: SessionStore) -> SessionStore:
    """Give the session of the same key as the next request finds it."""
    return SessionStore(session.session_key)


# What is stored


def test_fields_of_two_requests_both_survive(project: Project) -> None:
    """Each stores what it changed or removed, and what the other stored meanwhile stays, in later saves too."""
    key = stored(kept=1, gone=2).session_key
    one, two = SessionStore(key), SessionStore(key)
    one["a"] = 1
    two["b"] = 2
    del two["gone"]
    one.save()
    two.save()
    one["a"] = 3
    one.save()
    assert SessionStore(key).load() == {"kept": 1, "a": 3, "b": 2}


def test_values_changed_in_place_are_noticed(project: Project) -> None:
    """A list that was appended to makes the session modified; one that was only looked at does not."""
    session = again(stored(cart=["tea"], count=1))
    assert session["cart"] == ["tea"]
    assert not session.modified
    session["cart"].append("milk")
    assert session.modified
    session.save()
    assert again(session)["cart"] == ["tea", "milk"]


def test_what_was_declared_unmodified_stays_so_until_the_next_change(project: Project) -> None:
    """`modified = False` discards what was done so far, as with Django's engines."""
    session = again(stored(cart=["tea"]))
    session["cart"].append("milk")
    session.modified = False
    assert not session.modified
    session["cart"].append("salt")
    assert session.modified


def test_clearing_removes_what_was_never_read(project: Project) -> None:
    """`clear` empties the session itself, not only this request's view of it."""
    session = again(stored(a=1, b=2))
    session.clear()
    session["c"] = 3
    session.save()
    assert again(session).load() == {"c": 3}


def test_looking_at_the_store_again_changes_no_comparison(project: Project) -> None:
    """`load` called by hand while a view holds values does not make others' changes look like its own."""
    mine = again(stored(a=1, b=1))
    assert mine["a"] == 1
    other = again(mine)
    other["b"] = 2
    other.save()
    assert mine.load() == {"a": 1, "b": 2}
    mine["a"] = 5
    mine.save()
    assert again(mine).load() == {"a": 5, "b": 2}


def test_values_come_back_as_from_json(project: Project) -> None:
    """Keys are text and tuples are lists, as with Django's JSON serializer; a datetime is refused by name."""
    session = stored(pair=(1, 2), nested={1: "one"})
    assert again(session).load() == {"pair": [1, 2], "nested": {"1": "one"}}
    session["when"] = NEW_YEAR
    with pytest.raises(TypeError, match="datetime"):
        session.save()


class DatedSerializer:
    """JSON that takes dates, as Django's documentation suggests."""

    def dumps(self, value: Any) -> bytes:
        """Give JSON."""
        import json

        return json.dumps(value, cls=DjangoJSONEncoder).encode("latin-1")

    def loads(self, data: bytes) -> Any:
        """Give what it says."""
        return JSONSerializer().loads(data)


class PickleSerializer:
    """What Django had before 5.0."""

    def dumps(self, value: Any) -> bytes:
        """Give a pickle."""
        import pickle

        return pickle.dumps(value)


def test_other_json_serializers_are_used(project: Project) -> None:
    """A serializer that takes more than JSON does, and writes JSON, works."""
    with override_settings(SESSION_SERIALIZER=f"{__name__}.DatedSerializer"):
        session = stored(when=NEW_YEAR, plain=[1])
        assert again(session).load() == {"when": "2030-01-01T00:00:00Z", "plain": [1]}


def test_t35_a_pickle_is_refused_before_it_is_stored(project: Project) -> None:
    """No session is opened with data that only running them could read."""
    with (
        override_settings(SESSION_SERIALIZER=f"{__name__}.PickleSerializer"),
        pytest.raises(ConfigurationError, match="SESSION_SERIALIZER"),
    ):
        stored(a=1)
    assert project.session_count() == 0


# What it costs


def test_one_question_for_each_need(project: Project) -> None:
    """Reading is one question and saving is one; what is only read, or not even that, is never written."""
    key = stored(a=1, cart=[1]).session_key
    project.store.asked()
    session = SessionStore(key)
    assert project.store.asked() == []
    assert (session["a"], session.get("b"), "cart" in session, list(session.keys())) == (1, None, True, ["a", "cart"])
    assert not session.modified
    assert project.store.asked() == ["load"]
    session["a"] = 2
    session.save()
    assert project.store.asked() == ["save"]
    session.flush()
    assert project.store.asked() == ["end"]


def test_saving_every_request_writes_only_now_and_then(project: Project) -> None:
    """SESSION_SAVE_EVERY_REQUEST asks each time whether the session lives; its new deadline is stored once a minute."""
    session = again(stored(a=1))
    versions = []
    for minutes in (0, 0, 2):
        project.pass_time(timedelta(minutes=minutes))
        session.save()
        [found] = project.guard.sessions()
        versions.append(found.version)
    assert versions == [1, 1, 2]


# What is never taken


def test_t26_t43_unknown_keys_are_not_adopted_and_leave_nothing(project: Project) -> None:
    """Whatever a client sends, reading and logging out open no session, and the key is forgotten."""
    unknown = ["someunknownkey", "x" * 32, "0" * 32, "a" * 10_000, "sgabc" + "0" * 27, "../../etc/passwd", "\0" * 9]
    for key in unknown:
        session = SessionStore(key)
        assert session.load() == {}
        assert session.session_key is None
        assert not session.exists(key)
        SessionStore(key).flush()
        SessionStore(key).delete("another" + key)
    assert project.session_count() == 0
    session = SessionStore("x" * 32)
    session["a"] = 1
    session.save()
    assert session.session_key not in unknown
    with pytest.raises(CreateError):
        SessionStore("chosen-by-somebody").save(must_create=True)
    assert project.session_count() == 1


def test_t27_flushing_leaves_no_empty_key(project: Project) -> None:
    """After `flush` and `clear` there is no key, and none of the empty text is ever asked for."""
    session = stored(a=1)
    session.flush()
    assert session.session_key is None
    assert session.load() == {}
    session._session_key = ""
    assert session.session_key is None
    project.store.asked()
    assert SessionStore("").load() == {}
    assert not SessionStore().exists("")
    assert project.store.asked() == []
    session["b"] = 1
    session.save()
    assert {found.owner == "" for found in project.guard.sessions(status=None)} == {False}


def test_t20_an_ended_session_does_not_come_back(project: Project) -> None:
    """A slow request that saves after the logout is refused, even if it emptied the session first."""
    session = stored(a=1)
    slow, emptied = again(session), again(session)
    slow["b"] = 1
    emptied.clear()
    emptied["c"] = 1
    session.flush()
    for late in (slow, emptied):
        with pytest.raises(UpdateError):
            late.save()
    assert project.session_count() == 1
    assert list(project.guard.sessions()) == []


def test_an_outage_is_no_empty_session(project: Project) -> None:
    """While the store is out of reach, reading and deciding on keys raise."""
    session = again(stored(a=1))
    project.store.failing = {"load", "end"}
    for ask in (lambda: session["a"], lambda: session.exists(str(session.session_key)), session.flush):
        with pytest.raises(StoreUnavailableError):
            ask()


# Keys


def test_t22_a_replaced_key_reads_for_its_grace_and_writes_no_more(project: Project) -> None:
    """Requests under way at `cycle_key` still read; their writes are refused, for their cookie would be the old one."""
    session = stored(a=1)
    slow, under_way = again(session), again(session)
    under_way["b"] = 2
    old = session.session_key
    session.cycle_key()
    assert session.session_key != old
    assert not session.exists(str(old))
    assert slow["a"] == 1
    slow["a"] = 2
    for late in (slow, under_way):
        with pytest.raises(UpdateError):
            late.save()
    project.pass_time(timedelta(seconds=20))
    assert SessionStore(old).load() == {}
    assert again(session)["a"] == 1


def test_t22_of_two_requests_that_renew_one_goes_on_with_the_session(project: Project) -> None:
    """The other gets a session of its own, with what it wrote itself."""
    key = stored(a=1).session_key
    one, two = SessionStore(key), SessionStore(key)
    one["b"] = two["c"] = 1
    one.cycle_key()
    two.cycle_key()
    two.save()
    one.save()
    assert one.session_key != two.session_key
    assert SessionStore(one.session_key).load() == {"a": 1, "b": 1}
    assert dict(two.items()) == SessionStore(two.session_key).load() == {"c": 1}


def test_a_session_gets_its_owner_and_the_former_key_is_dead_at_once(project: Project) -> None:
    """After a login nobody who planted the visitor's key can use it, in the grace either."""
    session = stored(cart=["tea"])
    planted = session.session_key
    session.cycle_key()
    session.receive("7")
    session["user"] = 7
    session.save()
    assert SessionStore(planted).load() == {}
    [found] = project.guard.sessions(owner="7")
    assert found.data["cart"] == ["tea"]
    assert again(session)["user"] == 7


def test_a_session_of_another_owner_is_not_taken_over(project: Project) -> None:
    """It ends, and the new one holds what this request wrote and nothing that it read there."""
    session = stored(cart=["tea"])
    session.receive("7")
    session.save()
    mine = again(session)
    assert mine["cart"] == ["tea"]
    mine["user"] = 8
    mine.receive("8")
    mine.save()
    assert dict(mine.items()) == again(mine).load() == {"user": 8}
    assert again(session).load() == {}
    assert [found.owner for found in project.guard.sessions()] == ["8"]


@pytest.mark.parametrize("refusal", ["limit", "outage"])
def test_a_refused_login_over_another_owner_leaves_the_visitor_as_he_was(build: BuildProject, refusal: str) -> None:
    """In one order with the middleware: the former session ends last, and if it cannot, the new one does."""
    project = build(policy=SessionPolicy(max_active=1))
    session = stored(cart=["tea"])
    session.receive("7")
    if refusal == "limit":
        stored().receive("8")
    mine = again(session)
    assert mine["cart"] == ["tea"]
    failing = ["end"] if refusal == "outage" else []

    def once(verb: str) -> None:
        if verb in failing:
            failing.remove(verb)
            raise StoreUnavailableError("memory", verb, "planted outage")

    project.store.before = once
    before = {found.id for found in project.guard.sessions()}
    with pytest.raises((StoreUnavailableError, SessionLimitError)):
        mine.receive("8")
    assert (mine.session_key, again(mine).load()) == (session.session_key, {"cart": ["tea"]})
    assert {found.id for found in project.guard.sessions()} == before


# Time


@pytest.mark.parametrize("expiry", [90, timedelta(seconds=90), "datetime"])
def test_t23_a_session_is_over_when_its_own_expiry_says_so(project: Project, expiry: Any) -> None:
    """A millisecond before it lives, at the instant it does not, whatever the policy of the guard would allow."""
    session = SessionStore()
    session["a"] = 1
    session.set_expiry(project.clock.now + timedelta(seconds=90) if expiry == "datetime" else expiry)
    session.save()
    project.pass_time(timedelta(seconds=90) - timedelta(milliseconds=1))
    assert again(session).get("a") == 1
    project.pass_time(timedelta(milliseconds=1))
    late = again(session)
    assert late.get("a") is None
    assert late.session_key is None
    assert not session.exists(str(session.session_key))


def test_t23_without_an_expiry_of_its_own_it_lives_for_the_cookie_age(project: Project) -> None:
    """Since it was last stored, as Django has it; it is read by nobody afterwards."""
    with override_settings(SESSION_COOKIE_AGE=600):
        session = stored(a=1)
    project.pass_time(timedelta(seconds=599))
    assert again(session).get("a") == 1
    project.pass_time(timedelta(seconds=1))
    assert again(session).get("a") is None


def test_t24_the_policy_of_the_guard_is_the_limit(build: BuildProject) -> None:
    """However long an expiry an application sets, and however often it stores, the absolute timeout ends it."""
    policy = SessionPolicy(idle_timeout=timedelta(minutes=10), absolute_timeout=timedelta(minutes=30))
    project = build(policy=policy)
    session = stored(a=0)
    session.set_expiry(timedelta(days=365))
    for minute in range(29):
        project.pass_time(timedelta(minutes=1))
        fresh = again(session)
        fresh["a"] = minute
        fresh.save()
    project.pass_time(timedelta(minutes=1))
    assert again(session).load() == {}


def test_clearing_out_ends_what_has_expired(project: Project) -> None:
    """`clear_expired` sweeps; what lives stays."""
    stored(a=1)
    project.pass_time(timedelta(days=8))
    living = stored(b=1)
    SessionStore.clear_expired()
    assert sum(isinstance(event, SessionExpired) for event in project.events) == 1
    assert again(living)["b"] == 1


# The async face


def test_the_async_face_does_the_same(project: Project) -> None:
    """Every call has an awaited twin, which waits in a thread and not in the event loop."""

    async def scene() -> None:
        session = SessionStore()
        await session.aset("a", 1)
        await session.asave()
        old = str(session.session_key)
        await session.acycle_key()
        await session.areceive("7")
        assert not await session.aexists(old)
        twin = SessionStore(session.session_key)
        assert await twin.aget("a") == 1
        await twin.aset("b", 2)
        await twin.asave()
        assert await SessionStore(session.session_key).aload() == {"a": 1, "b": 2}
        await session.aflush()
        with pytest.raises(UpdateError):
            await twin.asave()
        await SessionStore.aclear_expired()
        await SessionStore().acreate()
        await twin.adelete()

    asyncio.run(scene())
    assert [found.reason for found in project.guard.sessions(status="ended")] == ["revoked"]


@pytest.mark.parametrize("name", ["load", "exists", "create", "save", "delete", "cycle_key", "receive"])
def test_faces_take_the_same_arguments(name: str) -> None:
    """Blocking and awaited calls differ in nothing but the waiting."""
    import inspect

    blocking: Callable[..., Any] = getattr(SessionStore, name)
    awaited: Callable[..., Awaitable[Any]] = getattr(SessionStore, "a" + name)
    assert [str(each) for each in inspect.signature(blocking).parameters.values()] == [
        str(each) for each in inspect.signature(awaited).parameters.values()
    ]
