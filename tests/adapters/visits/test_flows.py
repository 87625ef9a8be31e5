"""What the flows of a request ask a guard, call by call: no guard, no store, no framework."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from sessionguard import Session, SessionGuard
from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.modes import Mode
from sessionguard.adapters.visits import VisitFlows, VisitRules
from sessionguard.adapters.visits.calls import Call, Collect, Enter, Flow, Leave, run
from sessionguard.core.events import Event
from sessionguard.errors import SessionEndedError, StoreUnavailableError

OUTAGE = StoreUnavailableError("scripted", "load", "planted")


class Script:
    """A guard that gives what a test wrote down, and writes down what it was asked."""

    def __init__(self, **replies: Any) -> None:
        self.replies = replies
        self.asked: list[str] = []

    def subscribe(self, subscriber: Any) -> None:
        """Nothing happens here that one could hear of."""

    def publish(self, event: Event) -> None:
        """Nobody hears it."""

    def __getattr__(self, verb: str) -> Any:
        def answered(*arguments: Any, **options: Any) -> Any:
            self.asked.append(verb)
            reply = self.replies[verb]
            if isinstance(reply, BaseException):
                raise reply
            return reply

        return answered

    def flows(self, mode: Any = "merge") -> VisitFlows:
        """Give the flows of a request that carries a token."""
        guard = cast(SessionGuard, self)
        rules = VisitRules(guard=guard, transport=CookieSettings(), concurrency=mode)
        return VisitFlows(rules, (b"__Host-sg=t",))

    def play(self, flow: Flow[Any]) -> Any:
        """Run `flow` on this guard."""
        return run(flow, cast(SessionGuard, self))


@pytest.fixture(scope="module")
def sessions() -> Mapping[str, Session]:
    """Some sessions, as a guard gives them: anonymous, of Ana, of Ana with a new token, of Bob."""
    with SessionGuard.open("memory://", sweep_interval=None) as guard:
        nobody, ana, bob = guard.create(), guard.create("ana"), guard.create("bob")
        return {"nobody": nobody, "ana": guard.load(ana.token or "") or ana, "ana+": guard.rotate(ana), "bob": bob}


@pytest.mark.parametrize(
    "loaded, asked",
    [("nobody", ["load", "rotate"]), ("ana", ["load", "rotate"]), ("bob", ["load", "create", "end"])],
)
def test_login_receives_renews_or_begins_anew(sessions: Mapping[str, Session], loaded: str, asked: list[str]) -> None:
    """The visitor's own session gets a new token; that of another owner is ended once one is open."""
    script = Script(load=sessions[loaded], rotate=sessions["ana+"], end=None, create=sessions["ana+"])
    flows = script.flows()
    assert script.play(flows.login("ana")).owner == "ana"
    assert script.asked == asked
    assert flows.hands_out_token


def test_login_whose_session_went_meanwhile_begins_anew(sessions: Mapping[str, Session]) -> None:
    """Ended, or received by the owner of another login of the same browser: it is not ours to use."""
    for rotated in (SessionEndedError("an id", "revoked"), sessions["bob"]):
        script = Script(load=sessions["nobody"], rotate=rotated, create=sessions["ana+"])
        assert script.play(script.flows().login("ana")).owner == "ana"
        assert script.asked == ["load", "rotate", "create"]


def test_logout_that_fails_leaves_everything(sessions: Mapping[str, Session]) -> None:
    """The client keeps its token until the server has said that the session is over."""
    script = Script(load=sessions["ana"], end=OUTAGE)
    flows = script.flows()
    with pytest.raises(StoreUnavailableError):
        script.play(flows.logout())
    assert flows.private([], None) == [("Vary", "Cookie"), ("Cache-Control", "private, no-store")]
    script.replies["end"] = sessions["ana"]
    assert script.play(flows.logout()) is sessions["ana"]
    assert script.asked == ["load", "end", "end"]
    assert any(name == "Set-Cookie" for name, _ in flows.private([], None))


def test_turn_is_one_lock_and_another_look(sessions: Mapping[str, Session]) -> None:
    """What was read before the turn came may have been changed by whoever had it."""
    script = Script(load=sessions["ana"], lock="the lock")
    flow = script.flows("serial").session()
    assert next(flow) == Call("load", ("t",), {"scope": "default"})
    step = flow.send(sessions["ana"])
    assert isinstance(step, Call)
    assert step.verb == "lock"
    assert flow.send("the lock") == Enter("the lock")
    assert flow.send("the lock") == Call("load", ("t",), {"scope": "default"})
    with pytest.raises(StopIteration) as done:
        flow.send(sessions["ana+"])
    assert done.value.value is sessions["ana+"]


def test_turn_is_given_back_once(sessions: Mapping[str, Session]) -> None:
    """Cancelled or failing in between, there is nothing left to give back."""
    flows = Script().flows("serial")
    flow = flows.session()
    next(flow)
    flow.send(sessions["ana"])
    flow.send("the lock")
    flow.send("the lock")
    with pytest.raises(StopIteration):
        flow.send(sessions["ana"])
    assert flows.has_turn
    flow = flows.release()
    assert next(flow) == Leave("the lock")
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())
    assert not flows.has_turn
    assert list(flows.release()) == []


def test_wait_that_is_broken_off_leaves_no_turn(sessions: Mapping[str, Session]) -> None:
    """Thrown into the flow where it waits, a cancellation is passed on, and the request holds no lock."""
    flows = Script().flows("serial")
    flow = flows.session()
    next(flow)
    flow.send(sessions["ana"])
    assert flow.send("the lock") == Enter("the lock")
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())
    assert not flows.has_turn
    assert not flows.is_resolved


def test_lists_are_gathered(sessions: Mapping[str, Session]) -> None:
    """Pages underneath are none of the caller's business."""
    script = Script(load=sessions["ana"], sessions=iter([sessions["ana"], sessions["bob"]]))
    assert script.play(script.flows().own_sessions()) == (sessions["ana"], sessions["bob"])
    flow = Script().flows().own_sessions("upload")
    next(flow)
    assert flow.send(sessions["ana"]) == Collect("sessions", (), {"owner": "ana", "scope": "upload"})


def test_mode_that_takes_no_turn_asks_for_none(sessions: Mapping[str, Session]) -> None:
    """Entering it before or after the first look."""
    script = Script(load=sessions["ana"])
    flows = script.flows("serial")
    script.play(flows.enter_mode(Mode("merge")))
    script.play(flows.session())
    script.play(flows.enter_mode(Mode("strict")))
    assert script.asked == ["load"]
