"""Limits per owner: who is refused, who goes, and what is told and removed; the stores' own part is in the contract."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import ConfigurationError, Session, SessionGuard, SessionPolicy
from sessionguard.core.commands import Opened
from sessionguard.core.events import Event, SessionCreated, SessionEnded, SessionExpired, TokenRotated
from sessionguard.errors import SessionLimitError, StoreUnavailableError
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore

IDLE = timedelta(minutes=20)
TWO = SessionPolicy(idle_timeout=IDLE, max_active=2)
TWO_NEWEST = SessionPolicy(idle_timeout=IDLE, max_active=2, on_limit="end_oldest")


@pytest.mark.parametrize("value", ["replace", "", None, ["refuse"]], ids=str)
def test_wrong_reaction_is_refused_by_name(value: Any) -> None:
    """The three reactions are named."""
    with pytest.raises(ConfigurationError, match=r"on_limit.*'refuse', 'end_oldest', 'end_idle_longest'"):
        SessionPolicy(max_active=1, on_limit=value)


def test_one_too_many_is_refused(open_guard: OpenGuard, store: WatchedStore, heard: list[Event]) -> None:
    """`create`, `get_or_create`, `replace` and a login raise, with limit, scope and remedy; each is one question."""
    guard = open_guard(policy={"*": SessionPolicy(idle_timeout=IDLE), "desk": TWO})
    guard.subscribe(heard.append)
    opened = [guard.create("ada", scope="desk"), guard.get_or_create("ada", scope="desk")]
    visit = guard.create(scope="desk")
    store.forget()
    calls: list[Callable[[], Session]] = [
        lambda: guard.create("ada", scope="desk"),
        lambda: guard.get_or_create("ada", scope="desk", external_id="tab"),
        lambda: guard.replace("ada", scope="desk", external_id="tab"),
        lambda: guard.rotate(visit, owner="ada"),
    ]
    for call in calls:
        with pytest.raises(SessionLimitError, match=r"2 active sessions in the scope 'desk'.*max_active.*end another"):
            call()
    assert store.verbs() == ["create", "get_or_create", "replace", "rotate"]
    assert all(guard.load(session.token) is not None for session in (*opened, visit))
    assert len([event for event in heard if isinstance(event, SessionCreated)]) == 3
    # Other scopes have other limits.
    assert [guard.create("ada").status for _ in range(3)] == ["active"] * 3


def test_who_had_to_go_is_told_and_cleared_up(
    open_guard: OpenGuard, clock: Clock, tmp_path: Path, heard: list[Event]
) -> None:
    """Events, hooks and the removed files are those of an end; the session that comes tells what became of them."""
    guard = open_guard(policy=TWO_NEWEST, workspaces=tmp_path / "workspaces")
    guard.subscribe(heard.append)
    told: list[Session] = []
    guard.on_end(told.append)
    expired = guard.create("ada")
    clock.advance(IDLE)
    sessions = []
    for _ in range(2):
        clock.advance(timedelta(seconds=1))
        sessions.append(guard.create("ada"))
    with guard.workspace(sessions[0]) as files:
        files.write("a.txt", "1234")
    clock.advance(timedelta(seconds=1))
    opened = guard.replace("ada")
    assert (opened.removed.files, opened.removed.bytes) == (1, 4)
    visit = guard.create()
    login = guard.rotate(visit, owner="ada")
    assert login.token is not None
    assert [(session.id, session.reason) for session in told] == [
        (expired.id, "expired"),
        (sessions[0].id, "limit"),
        (sessions[1].id, "limit"),
    ]
    ends = [event for event in heard if isinstance(event, SessionEnded | SessionExpired | TokenRotated)]
    assert ends == [
        SessionExpired(expired.id, "default", "ada"),
        SessionEnded(sessions[0].id, "default", "ada", "limit"),
        SessionEnded(sessions[1].id, "default", "ada", "limit"),
        TokenRotated(visit.id, "default", "ada"),
    ]
    assert {session.id for session in guard.sessions(owner="ada")} == {opened.id, visit.id}


def test_files_in_use_stay_until_they_are_let_go(open_guard: OpenGuard, tmp_path: Path) -> None:
    """A session that somebody works in may go; its files go when the work is done."""
    guard = open_guard(policy=SessionPolicy(max_active=1, on_limit="end_idle_longest"), workspaces=tmp_path / "w")
    first = guard.create("ada")
    with guard.workspace(first) as files:
        files.write("a.txt", "1234")
        second = guard.create("ada")
        assert second.removed.deferred
        assert files.read("a.txt") == b"1234"
    assert guard.get(first.id).reason == "limit"  # type: ignore[union-attr]


def test_an_opening_whose_answer_was_lost_ends_nobody_else(open_guard: OpenGuard, store: WatchedStore) -> None:
    """The guard asks again, and gets the first answer with the same ones who had to go."""
    guard = open_guard(policy=SessionPolicy(max_active=1, on_limit="end_oldest"))
    former = guard.create("ada")
    answers: list[Any] = []

    def lose_the_first(command: Any, ask: Any) -> Any:
        reply = ask()
        if isinstance(reply, Opened):
            answers.append(reply)
            if len(answers) == 1:
                raise StoreUnavailableError("memory", command.verb, "lost", transient=True)
        return reply

    store.around = lose_the_first
    opened = guard.create("ada")
    store.around = None
    assert answers[0] == answers[1]
    assert [(record.id, record.reason) for record in answers[0].ended] == [(former.id, "limit")]
    assert [session.id for session in guard.sessions(owner="ada")] == [opened.id]


def test_a_refusal_after_a_lost_question_is_a_refusal(open_guard: OpenGuard, store: WatchedStore) -> None:
    """A question that never arrived and is refused when it is repeated was refused: nothing is unknown about it."""
    guard = open_guard(policy=SessionPolicy(max_active=1))
    guard.create("ada")
    asked: list[str] = []

    def lose_the_first(command: Any, ask: Any) -> Any:
        asked.append(command.verb)
        if len(asked) == 1:
            raise StoreUnavailableError("memory", command.verb, "lost", transient=True)
        return ask()

    store.around = lose_the_first
    with pytest.raises(SessionLimitError):
        guard.create("ada")
    store.around = None
    assert asked == ["create", "create"]


def test_a_visitor_may_have_a_few_workflows(guard: SessionGuard, open_guard: OpenGuard) -> None:
    """A visitor without a name is an owner of its own, so its sessions of another scope are limited as well."""
    guard = open_guard(policy={"*": SessionPolicy(), "workflow": SessionPolicy(max_active=2, on_limit="end_oldest")})
    visit, other = guard.create(), guard.create()
    flows = [guard.create(visit.owner, scope="workflow") for _ in range(3)]
    guard.create(other.owner, scope="workflow")
    assert len(list(guard.sessions(owner=visit.owner, scope="workflow"))) == 2
    assert guard.load(flows[-1].token) is not None
    assert guard.load(visit.token) is not None


class Unlimited:
    """A store of someone else's that keeps no limits."""

    name = "shelf"

    def load(self, command: Any) -> Any:
        """Never asked here."""

    def get_or_create(self, command: Any) -> Any:
        """Never asked here."""


@pytest.mark.parametrize("policy", [TWO, {"*": SessionPolicy(), "admin": TWO}], ids=["all scopes", "one scope"])
def test_a_store_without_limits_is_refused_by_name(policy: Any) -> None:
    """A policy with `max_active` over a store that would not keep it is a wrong setting, told as the guard is made."""
    store: Any = Unlimited()
    with pytest.raises(ConfigurationError, match=r"max_active.*shelf store.*leave max_active out"):
        SessionGuard(store, policy=policy, sweep_interval=None)
