"""A login in a browser that others used, and the requests of that browser from before it: blocking and awaited."""

from collections.abc import Callable
from typing import Any

import pytest

from sessionguard.adapters.external import Carried, ExternalFlows, ExternalIds, NamingRequest, Select
from sessionguard.adapters.modes import Mode
from sessionguard.adapters.visits import Visit
from sessionguard.errors import SessionEndedError, SessionSealedError, StoreUnavailableError
from tests.adapters.visits.conftest import Stage

_SETS_COOKIE = "Set-Cookie"


def _late(stage: Stage, **rules: Any) -> Visit:
    """Give the visit of a request that knew the visitor's session and has written, after another has logged in."""
    visitor = stage.guard.create(data={"cart": ["lamp"]})
    late = stage.visit(visitor.token, stage.rules(**rules))
    assert late.session() is not None
    assert late.fields is not None
    late.fields["cart"].append("vase")
    stage.guard.rotate(visitor, owner="ana")
    stage.store.asked()
    return late


@pytest.mark.parametrize("act", ["save", "rotate", "logout", "new_session", "logout_everywhere"])
def test_refused_request_from_before_a_login_opens_nothing_afterwards(stage: Stage, act: str) -> None:
    """Neither its error page nor what it does next opens a session or hands out a cookie over that of the login."""
    late = _late(stage)
    with pytest.raises(SessionEndedError, match="login"):
        getattr(late, act)()
    late.save()
    assert late.session() is None
    assert late.fields is not None
    assert dict(late.fields) == {}
    late.fields["flash"] = "told on the error page"
    for opens in (late.save, late.opened, late.new_session, late.logout):
        with pytest.raises(SessionEndedError, match="login"):
            opens()
    assert "create" not in stage.store.asked()
    assert {name for name, _ in late.private([])} == {"Vary", "Cache-Control"}
    (owned,) = stage.guard.sessions()
    assert (owned.owner, owned.data) == ("ana", {"cart": ["lamp"]})


@pytest.mark.parametrize("query", [b"", b"_sid=7"])
def test_named_session_of_before_a_login_is_not_opened(stage: Stage, query: bytes) -> None:
    """Of the visitor who is the owner by now, nobody would find it again."""
    ids = ExternalIds(policy=Select())
    late = _late(stage, external=ids)
    flows = ExternalFlows(ids, late.flows, NamingRequest(method="POST", carried=Carried(query=query)))
    with pytest.raises(SessionEndedError, match="login"):
        late.run(flows.new_session())
    assert list(stage.guard.sessions(scope=ids.scope)) == []
    assert _SETS_COOKIE not in dict(late.private([]))


def test_token_of_before_the_refusal_is_not_handed_out(stage: Stage) -> None:
    """The request had renewed it, and then somebody logged in with the session."""
    visitor = stage.guard.create()
    late = stage.visit(visitor.token)
    late.rotate()
    stage.guard.rotate(late.session() or visitor, owner="ana")
    assert late.fields is not None
    late.fields["n"] = 1
    with pytest.raises(SessionEndedError, match="login"):
        late.save()
    assert _SETS_COOKIE not in dict(late.private([]))


def test_turn_that_a_login_took_away_opens_nothing(stage: Stage) -> None:
    """The request goes on as nobody; what it writes is refused."""
    late = _late(stage)
    assert late.fields is not None
    late.fields.forget()
    late.enter_mode(Mode("serial"))
    assert late.session() is None
    late.fields["n"] = 1
    with pytest.raises(SessionEndedError, match="login"):
        late.save()
    assert _SETS_COOKIE not in dict(late.private([]))


def test_refused_request_may_log_in_itself(stage: Stage) -> None:
    """With a session of its own, which holds nothing of the former one."""
    late = _late(stage)
    with pytest.raises(SessionEndedError, match="login"):
        late.save()
    session = late.login("bob")
    assert (session.owner, session.data) == ("bob", {})
    late.logout()
    assert late.fields is not None
    late.fields["n"] = 1
    late.save()
    assert _SETS_COOKIE in dict(late.private([]))


def test_logout_of_a_session_that_ended_otherwise_is_one(stage: Stage) -> None:
    """An anonymous session that was ended meanwhile belongs to nobody else, so the browser forgets it."""
    visitor = stage.guard.create()
    visit = stage.visit(visitor.token)
    assert visit.session() is not None
    stage.guard.end(visitor)
    assert visit.logout() is None
    assert _SETS_COOKIE in dict(visit.private([]))


# Another owner's session in the browser


def test_login_that_cannot_end_the_former_owners_session_fails_as_a_whole(stage: Stage) -> None:
    """The visitor is who he was, no cookie says otherwise, and the session that was opened is ended again."""
    former = stage.guard.create("ana", data={"n": 1})
    visit = stage.visit(former.token)
    assert visit.session() is not None
    stage.store.before = _failing_once("end")
    with pytest.raises(StoreUnavailableError):
        visit.login("bob")
    assert (session := visit.session()) is not None
    assert (session.id, session.owner) == (former.id, "ana")
    assert visit.fields is not None
    assert visit.fields["n"] == 1
    assert _SETS_COOKIE not in dict(visit.private([]))
    assert [session.id for session in stage.guard.sessions()] == [former.id]
    assert visit.login("bob").owner == "bob"
    assert [session.owner for session in stage.guard.sessions()] == ["bob"]


def test_login_is_told_of_the_outage_that_keeps_it_from_withdrawing(stage: Stage) -> None:
    """Not of the second failure; what was opened is left to its timeout, and nobody has its token."""
    visit = stage.visit(stage.guard.create("ana").token)
    stage.store.failing = {"end"}
    with pytest.raises(StoreUnavailableError):
        visit.login("bob")
    assert stage.store.asked() == ["load", "create", "end", "end"]
    assert _SETS_COOKIE not in dict(visit.private([]))


def _failing_once(verb: str) -> Callable[[str], None]:
    left = [verb]

    def before(asked: str) -> None:
        if asked in left:
            left.remove(asked)
            raise StoreUnavailableError("memory", verb, "planted outage")

    return before


# Slots


def test_slot_is_not_asked_for_after_the_response(stage: Stage) -> None:
    """That would open a session; what the request has found before, it may still look at."""
    visit = stage.visit()
    first = visit.get_or_create("ana")
    visit.seal()
    assert visit.get_or_create("ana") is first
    with pytest.raises(SessionSealedError):
        visit.get_or_create("bob")
    assert [session.owner for session in stage.guard.sessions()] == ["ana"]


def test_slot_that_the_request_cleared_is_asked_for_anew(stage: Stage) -> None:
    """The session protocol ended its session, which goes on nowhere."""
    ids = ExternalIds(policy=Select())
    visit = stage.visit(stage.guard.create("ana").token, stage.rules(external=ids))
    visit.session()
    first = visit.get_or_create("ana", scope=ids.scope, external_id="7")
    request = NamingRequest(method="POST", carried=Carried(query=b"_sid=7"))
    assert visit.run(ExternalFlows(ids, visit.flows, request).clear_session()).status == 200
    assert visit.get_or_create("ana", scope=ids.scope, external_id="7").id != first.id
