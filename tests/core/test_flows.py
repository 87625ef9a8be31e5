"""Flows on a scripted store: what is asked for each answer, without any store that could help."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from sessionguard import Session, SessionConflictError, SessionEndedError, SessionTooLargeError
from sessionguard.core.braking import Alarm
from sessionguard.core.cleaning import CleaningFlows
from sessionguard.core.commands import (
    Changed,
    Command,
    Create,
    Ended,
    GetOrCreate,
    Loaded,
    LockReply,
    Opened,
    Purged,
    Save,
)
from sessionguard.core.driving import run
from sessionguard.core.events import ChangeRefused, Event, SaveConflicted
from sessionguard.core.flows import SessionFlows
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.locking import LockFlows
from sessionguard.core.opening import opened_record
from sessionguard.core.setting import Setting
from sessionguard.core.sweeps import SweepFlows
from sessionguard.errors import ConfigurationError, IdentityMismatchError, InvalidArgumentError, LockTimeoutError
from tests.core.making import START, START_US, record, setting
from tests.core.scripting import ScriptedStore

DEPLOYMENT = "d" * 32


def slow_setting(passed: list[float], heard: list[Event] | None = None) -> Setting:
    """Give a setting whose random bytes are all ones, so waits are the longest; `passed` are seconds gone by."""
    made = setting(heard, monotonic=lambda: sum(passed))
    return evolve(made, mint=evolve(made.mint, random_bytes=lambda length: b"\xff" * length))


def opening(command: Any) -> Opened:
    """Answer as a store that opens."""
    return Opened(opened_record(command.new, exclusive=True, generation=1, now_us=START_US))


def test_deployment_is_asked_for_once() -> None:
    """The first opening learns whom the store belongs to, the later ones know."""
    flows, store = SessionFlows(setting()), ScriptedStore(DEPLOYMENT, opening, opening)
    for _ in range(2):
        run(flows.open(Create, "ada", "default", None, None), store)
    assert [command.verb for command in store.asked] == ["identify", "create", "create"]


def test_every_question_carries_the_instant_and_a_change_its_own_operation() -> None:
    """`at` is the clock's; no two operations have the same id."""
    flows = SessionFlows(setting())
    done = Changed(Outcome.DONE, record())
    store = ScriptedStore(DEPLOYMENT, opening, done, done, done, Loaded(None))
    run(flows.open(Create, "ada", "default", None, None), store)
    session = Session(record())
    run(flows.save(session, {"a": 1}, (), None), store)
    run(flows.touch(session), store)
    run(flows.touch(session), store)
    run(flows.load("sg1_0_" + "a" * 45, None), store)
    questions: list[Any] = [command for command in store.asked if command.verb != "identify"]
    assert {command.at for command in questions} == {START}
    operations = [command.operation_id for command in questions[:-1]]
    assert len(set(operations)) == len(operations)


def test_repeated_opening_recognises_its_own() -> None:
    """It is new if the token hash is the one that was sent, whatever else the store says."""
    flows = SessionFlows(setting())
    session = run(flows.open(GetOrCreate, "ada", "default", None, None), ScriptedStore(DEPLOYMENT, opening))
    assert session.is_new
    other = evolve(record(), owner="ada")
    found = run(flows.open(GetOrCreate, "ada", "default", None, None), ScriptedStore(Opened(other)))
    assert not found.is_new
    assert found.token is None


def test_modify_is_bounded() -> None:
    """Whoever always loses stops after its time, the function's own included, with the two versions in the error."""
    heard: list[Event] = []
    paused: list[float] = []
    passed: list[float] = []
    version = 1

    def modifier(data: dict[str, Any]) -> dict[str, Any]:
        passed.append(0.2)
        return {"n": 1}

    def pause(seconds: float) -> None:
        paused.append(seconds)
        passed.append(seconds)

    def always_newer(command: Command[Any]) -> Changed:
        nonlocal version
        assert isinstance(command, Save)
        assert command.expected_version == version
        version += 1
        return Changed(Outcome.CONFLICT, record(version=version))

    store = ScriptedStore(*[always_newer] * 10_000)
    with pytest.raises(SessionConflictError) as caught:
        run(
            SessionFlows(slow_setting(passed, heard)).modify(Session(record()), modifier),
            store,
            None,
            pause,
        )
    assert 10.0 <= sum(passed) < 10.5
    assert len(store.asked) == len(paused) + 1 == version - 1
    assert (caught.value.expected, caught.value.found) == (version - 1, version)
    assert [type(event) for event in heard] == [SaveConflicted] * (version - 1)


def test_modify_gives_the_function_a_copy_each_time() -> None:
    """What a former call did to its copy does not reach the next."""
    newer = record(version=2, data='{"list":[2]}')
    store = ScriptedStore(Changed(Outcome.CONFLICT, newer), lambda command: Changed(Outcome.DONE, newer))
    seen: list[Any] = []

    def append(data: dict[str, Any]) -> None:
        seen.append(list(data["list"]))
        data["list"].append(9)

    run(SessionFlows(setting()).modify(Session(record(data='{"list":[1]}')), append), store, None, lambda _: None)
    assert seen == [[1], [2]]
    assert store.asked[1].changes == {"list": "[2,9]"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("known", [True, False])
def test_refused_change_says_why_if_it_is_known(known: bool) -> None:
    """Ended, or not known at all: the same error, with the reason or without."""
    heard: list[Event] = []
    reply = Changed(Outcome.ENDED, record(reason="expired") if known else None)
    with pytest.raises(SessionEndedError) as caught:
        run(SessionFlows(setting(heard)).save(Session(record()), {"a": 1}, (), None), ScriptedStore(reply))
    reason = "expired" if known else None
    assert caught.value.reason == reason
    assert heard == [ChangeRefused(record().id, "default", "ada", "save", reason)]


def test_too_large_says_by_how_much() -> None:
    """The size is the store's, for only it knows what others saved."""
    reply = Changed(Outcome.TOO_LARGE, record(), 999_999)
    with pytest.raises(SessionTooLargeError) as caught:
        run(SessionFlows(setting()).save(Session(record()), {"a": 1}, (), None), ScriptedStore(reply))
    assert caught.value.size_bytes == 999_999


def test_anonymous_session_may_have_received_an_owner() -> None:
    """The one difference that is no mismatch: it is over for who knew it before, whatever the store answers."""
    anonymous = "anonymous-" + "0" * 32
    flows = SessionFlows(setting())
    session = Session(record(owner=anonymous))
    reply = Changed(Outcome.DONE, record(owner="ada"))
    with pytest.raises(SessionEndedError, match="login"):
        run(flows.touch(session), ScriptedStore(reply))
    with pytest.raises(IdentityMismatchError):
        run(flows.touch(Session(record(owner="bob"))), ScriptedStore(reply))


def sweeps(shared: Setting) -> SweepFlows:
    """Give the flows of a sweep without a brake."""
    quiet = Alarm(lambda text: None)
    return SweepFlows(shared, SessionFlows(shared).open_workspaces, None, quiet, quiet, lambda: False)


def test_sweep_goes_on_until_nothing_is_left() -> None:
    """Batch after batch, never asking for more than the limit leaves."""
    ended = record(reason="expired")
    store = ScriptedStore(Ended((ended,) * 200, True), Ended((ended,) * 200, True), Ended((ended,) * 100, True))
    shared = setting()
    report = run(sweeps(shared).sweep(500, force=False, in_turn=False), store)
    assert (report.ended, report.has_more) == (500, True)
    assert [command.limit for command in store.asked] == [200, 200, 100]  # type: ignore[attr-defined]


def test_lock_waits_ever_longer_and_no_longer_than_told() -> None:
    """From a millisecond up to 25, and the sum is the timeout."""
    paused: list[float] = []
    flows = LockFlows(slow_setting(paused))
    store = ScriptedStore(*[LockReply(Outcome.CONFLICT, 1)] * 1000)
    with pytest.raises(LockTimeoutError):
        run(flows.acquire(flows.claim(Session(record()), "a", timedelta(seconds=1))), store, None, paused.append)
    assert sum(paused) == pytest.approx(1.0)
    assert paused[:5] == pytest.approx([0.001, 0.002, 0.004, 0.008, 0.016], rel=0.01)
    assert max(paused) <= 0.025


@pytest.mark.parametrize(
    "function",
    [lambda data: data.setdefault("prefs", {}), lambda data: data["prefs"], lambda data: data.pop("prefs")],
)
def test_modify_refuses_a_part_of_the_data(function: Any) -> None:
    """A function that happens to return a field does not replace all the others by it; the store is not asked."""
    store = ScriptedStore()
    with pytest.raises(InvalidArgumentError, match="a part of the data"):
        run(SessionFlows(setting()).modify(Session(record(data='{"keep":1,"prefs":{"c":1}}')), function), store)
    assert store.asked == []


@pytest.mark.parametrize("clock", [lambda: datetime(2026, 1, 1), lambda: 0])  # noqa: DTZ001
def test_a_clock_without_a_zone_is_named(clock: Any) -> None:
    """The error names the setting, not an argument that the caller never gave."""
    flows = SessionFlows(evolve(setting(), clock=clock))
    with pytest.raises(ConfigurationError, match="clock"):
        run(flows.touch(Session(record())), ScriptedStore())


def test_a_store_that_gets_no_further_is_not_asked_for_ever() -> None:
    """A sweep that ended nothing and a purge that forgot nothing are over, whatever the store says is left."""
    store = ScriptedStore(Ended((), has_more=True), Purged(0, has_more=True))
    assert run(sweeps(setting()).sweep(10, force=False, in_turn=False), store).has_more
    assert run(CleaningFlows(setting()).purge(None, 10), store).has_more
