"""A request goes on with the session of one visitor: logins, saves and other sessions, over a real store."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sessionguard import Session, SessionGuard, SessionLimitError, SessionPolicy
from sessionguard.adapters.fields import Fields
from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.modes import Concurrency, Mode
from sessionguard.adapters.visits import REQUEST_LOCK, Visit, VisitRules
from sessionguard.adapters.visits.calls import Call
from sessionguard.errors import SessionEndedError
from sessionguard.stores.memory import MemoryStore


@pytest.fixture
def guard() -> Iterator[SessionGuard]:
    """Give a guard of its own store."""
    with SessionGuard.open("memory://", sweep_interval=None) as opened:
        yield opened


def _visit(guard: SessionGuard, session: Session, mode: Concurrency = "merge") -> Visit:
    rules = VisitRules(guard=guard, transport=CookieSettings(), concurrency=mode)
    visit = Visit(rules, (f"__Host-sg={session.token}".encode(),))
    visit.flows.fields = Fields(visit.session)
    return visit


def test_t22_token_from_before_a_login_is_dead_at_once(guard: SessionGuard) -> None:
    """Whoever planted it is not inside afterwards, for no grace."""
    planted = guard.create(data={"cart": 1})
    victim = _visit(guard, planted)
    assert victim.login("victim").data == {"cart": 1}
    assert _visit(guard, planted).session() is None


@pytest.mark.parametrize("act", ["save", "rotate"])
def test_request_from_before_a_login_does_not_go_on_inside_the_owners_session(guard: SessionGuard, act: str) -> None:
    """It looked at the visitor's session, another logged in with it, and now it is nobody's here."""
    planted = guard.create()
    late, victim = _visit(guard, planted), _visit(guard, planted)
    assert late.session() is not None
    victim.login("victim")
    assert late.fields is not None
    if act == "save":
        late.fields["address"] = "elsewhere"
    with pytest.raises(SessionEndedError):
        getattr(late, act)()
    assert late.session() is None
    assert late.own_sessions() == ()
    assert late.logout_everywhere() == 0


def test_request_from_before_a_login_opens_none_of_the_owners_files(tmp_path: Path) -> None:
    """It is told so, and goes on with no session, as after a save."""
    with SessionGuard.open("memory://", tmp_path / "work", sweep_interval=None) as guard:
        planted = guard.create()
        late, victim = _visit(guard, planted), _visit(guard, planted)
        assert late.session() is not None
        victim.login("victim")
        with victim.workspace() as files:
            files.write("own", b"1")
        # Also if it gives the session as it was; who has logged in himself keeps the one that he has.
        for visit, session in ((late, None), (victim, planted)):
            with pytest.raises(SessionEndedError) as caught, visit.workspace(session):
                pass
            assert caught.value.reason == "login"
        assert late.session() is None
        with victim.workspace() as files:
            assert files.read("own") == b"1"


def test_request_that_logs_in_keeps_its_turn_from_requests_before_the_login() -> None:
    """Who comes for a turn with the visitor's session goes on with none; who logged in saves and gives his back."""
    store = MemoryStore()
    # Two, as in two processes: within one a turn is waited for before the store is asked.
    guard, elsewhere = SessionGuard(store, sweep_interval=None), SessionGuard(store, sweep_interval=None)
    planted = guard.create()
    late, victim = _visit(elsewhere, planted), _visit(guard, planted, "serial")
    assert late.session() is not None
    victim.login("victim")
    assert victim.flows.has_turn
    late.enter_mode(Mode("serial"))
    assert (late.session(), late.flows.has_turn) == (None, False)
    assert victim.fields is not None
    victim.fields["n"] = 1
    victim.save()
    victim.seal()
    member = guard.get(planted.id)
    assert member is not None
    assert (member.owner, dict(member.data)) == ("victim", {"n": 1})
    with elsewhere.lock(member, REQUEST_LOCK, timeout=timedelta(0)):
        pass
    guard.close()
    elsewhere.close()


@pytest.mark.parametrize("mode", ["merge", "strict"])
def test_what_a_view_saved_itself_is_not_stored_again(guard: SessionGuard, mode: Concurrency) -> None:
    """A second save stores what was written since the first, and what others stored meanwhile stays."""
    session = guard.create(data={"n": 0})
    visit = _visit(guard, session, mode)
    assert visit.fields is not None
    visit.fields["n"] = 1
    visit.save()
    if mode == "merge":
        guard.save(session, {"n": 2})
    visit.save()
    stored = guard.get(session.id)
    assert stored is not None
    assert stored.data == {"n": 2 if mode == "merge" else 1}
    visit.fields["m"] = [1]
    visit.save()
    visit.fields["m"].append(2)
    visit.save()
    assert (stored := guard.get(session.id)) is not None
    assert stored.data["m"] == [1, 2]


def test_what_others_stored_before_a_view_saved_itself_stays(guard: SessionGuard) -> None:
    """What the request writes after its first save is all that its second save stores."""
    session = guard.create(data={"cart": ["book"], "gone": 1, "n": 0})
    visit = _visit(guard, session)
    assert visit.fields is not None
    assert visit.fields["cart"] == ["book"]
    guard.save(session, {"cart": ["lamp"], "theirs": 1})
    visit.fields["n"] = 1
    del visit.fields["gone"]
    visit.save()
    guard.save(session, {"gone": 2})
    visit.fields["n"] = 2
    visit.save()
    stored = guard.get(session.id)
    assert stored is not None
    assert stored.data == {"cart": ["lamp"], "n": 2, "theirs": 1, "gone": 2}
    visit.fields["cart"].append("vase")
    visit.save()
    assert (stored := guard.get(session.id)) is not None
    assert stored.data["cart"] == ["book", "vase"]


def test_workflows_are_none_of_the_visitors_devices(guard: SessionGuard) -> None:
    """They are neither listed nor logged out among his devices."""
    visit = _visit(guard, guard.create("ana"))
    workflow = visit.new_session()
    assert [found.id for found in visit.own_sessions()] == [session.id for session in [visit.session()] if session]
    assert visit.logout_others() == 0
    assert visit.own_session(workflow.id) is not None


def test_login_that_a_limit_refuses_leaves_the_visitor_as_he_was() -> None:
    """The session he had is still his."""
    with SessionGuard.open("memory://", policy=SessionPolicy(max_active=1), sweep_interval=None) as guard:
        guard.create("bob")
        visit = _visit(guard, guard.create("ana"))
        with pytest.raises(SessionLimitError):
            visit.login("bob")
        found = visit.session()
        assert found is not None
        assert found.owner == "ana"
        assert guard.get(found.id) is not None
        assert (guard.get(found.id) or found).status == "active"


def test_steps_show_no_token() -> None:
    """Who prints the locals of a failed request does not print the secret."""
    assert "sg1_secret" not in repr(Call("load", ("sg1_secret",), {"token": "sg1_secret"}))
