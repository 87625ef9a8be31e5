"""The specification of sessions: it allows what a right store may answer, and nothing else."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.leases import LeaseReply
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing import Profile
from sessionguard.testing.contracts.stage import IDLE, SECOND, START, TICK, Stage
from sessionguard.testing.history import Budget, Illegal, Legal, Operation, SessionModel, Verdict, check
from sessionguard.testing.history.sessions.workload import FREQUENCIES
from sessionguard.testing.model import ModelStore
from tests.testing.history.replaying import ONE_KEY, drawn, has_legal_order, skips_a_number
from tests.testing.history.simulated import DEPLOYMENT, simulated, timed_out


def test_every_verdict_is_that_of_replaying_all_orders(sg_profile: Profile) -> None:
    """On random small histories, right and wrong, specification and model store agree, without exception."""
    counts = {True: 0, False: 0}
    for seed in range(10_000 if sg_profile.name == "deep" else 1_000):
        history = drawn(seed, ONE_KEY)
        expected = has_legal_order(history)
        agreed = check(history, SessionModel).is_legal == expected
        assert agreed or (not expected and skips_a_number(history)), f"seed {seed}"
        counts[expected] += 1
    assert min(counts.values()) > sum(counts.values()) / 20


def test_nothing_that_can_be_replayed_is_refused(sg_profile: Profile) -> None:
    """With sweeps, purges, lists and repetitions, too, what some order explains is legal."""
    frequencies = {**FREQUENCIES, "get_or_create": 8, "repeat": 10}
    for seed in range(5_000 if sg_profile.name == "deep" else 300):
        history = drawn(seed, frequencies)
        assert check(history, SessionModel).is_legal or not has_legal_order(history), f"seed {seed}"


@pytest.mark.parametrize("unknown", [0.0, 0.1])
def test_long_histories_of_a_right_store_are_legal(sg_profile: Profile, unknown: float) -> None:
    """Whatever eight clients do at once to a few owners is legal, with lost answers and without."""
    for seed in range(sg_profile.examples):
        history = simulated(ModelStore(), clients=8, operations=120, seed=seed, unknown=unknown)
        verdict = check(history, SessionModel)
        assert verdict.is_legal, verdict.render()


@pytest.fixture
def stage() -> Stage:
    """Makes commands."""
    return Stage(DEPLOYMENT)


class Script:
    """Commands one after the other on a right store, whose replies a test may falsify."""

    def __init__(self) -> None:
        self.store = ModelStore()
        self.operations: list[Operation] = []

    def ask(self, command: c.Command[Any], falsified: Callable[[Any], Any] = lambda reply: reply) -> Any:
        """Ask the store, and note what `falsified` makes of the reply."""
        reply = command.apply(self.store)
        place = 10 * len(self.operations)
        self.operations.append(
            Operation("a", command.verb, {"command": command}, place, place + 5, result=falsified(reply))
        )
        return reply

    def verdict(self) -> Verdict:
        """Check what was noted."""
        return check(self.operations, SessionModel)


@pytest.fixture
def script() -> Script:
    """A store and what it was asked."""
    return Script()


def refuted(verdict: Verdict) -> str:
    """Give the report of a history that must be illegal."""
    assert isinstance(verdict, Illegal), verdict.render()
    return verdict.render()


def test_two_sessions_in_a_slot_are_illegal(stage: Stage, script: Script) -> None:
    """The second opening of a slot finds the session that is there."""
    first, second = stage.get_or_create("ana"), stage.get_or_create("ana")
    script.ask(first)
    other = second.apply(ModelStore())
    script.ask(second, lambda _: evolve(other, record=evolve(other.record, generation=2)))
    assert "told by get_or_create" in refuted(script.verdict())


def test_a_generation_is_never_used_twice(stage: Stage, script: Script) -> None:
    """Generations of a slot grow with every opening."""
    former = script.ask(stage.get_or_create("ana")).record
    script.ask(stage.end(former))
    script.ask(stage.get_or_create("ana"), lambda reply: evolve(reply, record=evolve(reply.record, generation=1)))
    refuted(script.verdict())


def test_a_save_of_an_ended_session_is_illegal(stage: Stage, script: Script) -> None:
    """Nothing that has ended is done anything to."""
    opened = script.ask(stage.get_or_create("ana")).record
    script.ask(stage.end(opened))
    revived = evolve(opened, version=2, data='{"a":1}')
    script.ask(stage.save(opened, {"a": 1}), lambda _: c.Changed(Outcome.DONE, revived))
    assert "told by save" in refuted(script.verdict())


@pytest.mark.parametrize("verb", ["save", "touch", "end"])
def test_a_change_by_who_knew_a_visitor_is_illegal_after_its_login(stage: Stage, script: Script, verb: str) -> None:
    """It is refused, which is legal; an answer that it was done is not."""
    visitor = script.ask(stage.create(stage.mint.anonymous_owner())).record
    owned = script.ask(stage.rotate(visitor, owner="ana")).record
    assert owned is not None
    ask = {"save": stage.save(visitor, {"a": 1}), "touch": stage.touch(visitor), "end": stage.end(visitor)}
    command = evolve(ask[verb], meant=visitor)
    assert script.ask(command).outcome is Outcome.ENDED
    assert isinstance(script.verdict(), Legal)
    done = {
        "save": evolve(owned, version=2, data='{"a":1}'),
        "touch": owned,
        "end": evolve(owned, reason="revoked", ended_us=owned.last_seen_us, data="{}"),
    }
    script.ask(evolve(command, operation_id="f" * 16), lambda _: c.Changed(Outcome.DONE, done[verb]))
    assert f"told by {verb}" in refuted(script.verdict())


@pytest.mark.parametrize("verb", ["acquire_lock", "hold_lease"])
def test_a_claim_by_who_knew_a_visitor_is_illegal_after_its_login(stage: Stage, script: Script, verb: str) -> None:
    """A new one is refused, and who held it keeps it and is told why; an answer that gives a new one is not legal."""
    visitor = script.ask(stage.create(stage.mint.anonymous_owner())).record
    before, new = stage.operation(), stage.operation()
    held = script.ask(evolve(stage.hold(visitor, before, lease=IDLE), meant=visitor))
    script.ask(stage.rotate(visitor, owner="ana"))
    kept = script.ask(evolve(stage.hold(visitor, before, lease=IDLE, at=SECOND), meant=visitor))
    assert (kept.fence, kept.reason) == (held.fence, "login")
    lock, hold = stage.acquire(visitor, new, at=SECOND), stage.hold(visitor, new, at=SECOND)
    command: Any = evolve(lock, meant=visitor) if verb == "acquire_lock" else evolve(hold, meant=visitor)
    assert script.ask(command).outcome is Outcome.ENDED
    script.ask(stage.get(visitor, at=SECOND))
    assert isinstance(script.verdict(), Legal)
    done = {
        "acquire_lock": c.LockReply(Outcome.DONE, 1),
        "hold_lease": LeaseReply(Outcome.DONE, held.fence + 1, stage.us(2 * SECOND), held.fence),
    }
    script.ask(command, lambda _: done[verb])
    assert f"told by {verb}" in refuted(script.verdict())


def test_a_hold_that_extends_the_session_of_another_is_illegal(stage: Stage, script: Script) -> None:
    """Who held a visitor's session is told that it is over for him, once it is its owner's."""
    visitor = script.ask(stage.create(stage.mint.anonymous_owner())).record
    before = stage.operation()
    script.ask(evolve(stage.hold(visitor, before, lease=IDLE), meant=visitor))
    script.ask(stage.rotate(visitor, owner="ana"))
    again = evolve(stage.hold(visitor, before, lease=IDLE, at=SECOND), meant=visitor)
    script.ask(again, lambda reply: evolve(reply, reason=None))
    assert "told by hold_lease" in refuted(script.verdict())


@pytest.mark.parametrize("asks_between", [True, False])
def test_a_hold_is_forgotten_with_its_session(stage: Stage, script: Script, asks_between: bool) -> None:
    """Who asks by a clock that is behind finds no hold on it, nor on the session that is opened by its id again."""
    opening = stage.get_or_create("ana")
    opened = script.ask(opening).record
    script.ask(stage.hold(opened, stage.operation()))
    script.ask(stage.end(opened))
    assert script.ask(stage.leased(opened)) is not None
    script.ask(stage.purge(timedelta(0), at=IDLE))
    if asks_between:
        assert script.ask(stage.leased(opened)) is None
    assert script.ask(opening).record.id == opened.id
    assert script.ask(stage.leased(opened)) is None
    verdict = script.verdict()
    assert isinstance(verdict, Legal), verdict.render()


def test_an_expected_version_decides(stage: Stage, script: Script) -> None:
    """A save with an expected version is done if that is stored, and only then."""
    opened = script.ask(stage.get_or_create("ana")).record
    script.ask(
        stage.save(opened, {"a": 1}, expected_version=1),
        lambda reply: evolve(reply, outcome=Outcome.CONFLICT, record=opened),
    )
    refuted(script.verdict())


def test_a_lost_update_is_illegal(stage: Stage, script: Script) -> None:
    """A field that was saved is there until somebody saves or removes it."""
    opened = script.ask(stage.get_or_create("ana")).record
    script.ask(stage.save(opened, {"a": 1}))
    script.ask(stage.save(opened, {"b": 2}), lambda reply: evolve(reply, record=evolve(reply.record, data='{"b":2}')))
    refuted(script.verdict())


def _with_record(reply: c.Loaded, **changes: Any) -> c.Loaded:
    assert reply.record is not None
    return evolve(reply, record=evolve(reply.record, **changes))


def test_a_value_that_nobody_wrote_is_named(stage: Stage, script: Script) -> None:
    """Before any search, a value from nowhere is told in plain words."""
    opened = script.ask(stage.get_or_create("ana")).record
    script.ask(stage.load(opened), lambda reply: _with_record(reply, data='{"canary":1}'))
    assert "nobody wrote 'canary'" in refuted(script.verdict())


def test_a_session_shown_to_another_owner_is_named(stage: Stage, script: Script) -> None:
    """Before any search, one id for two owners is told in plain words."""
    opened = script.ask(stage.get_or_create("ana")).record
    script.ask(stage.get(opened), lambda record: evolve(record, owner="bob"))
    assert "of 'ana' is shown to 'bob'" in refuted(script.verdict())


def test_a_version_that_falls_is_named(stage: Stage, script: Script) -> None:
    """Before any search, a version older than one that was shown before is told in plain words."""
    opened = script.ask(stage.get_or_create("ana")).record
    script.ask(stage.save(opened, {"a": 1}))
    script.ask(stage.get(opened), lambda _: opened)
    assert "went back from version 2 to 1" in refuted(script.verdict())


def test_a_session_that_nobody_opened_is_named(stage: Stage, script: Script) -> None:
    """Before any search, a stranger among the replies is told in plain words."""
    elsewhere = stage.create("ana").apply(ModelStore()).record
    script.ask(stage.get(elsewhere), lambda _: elsewhere)
    assert "was opened by nobody" in refuted(script.verdict())


def test_a_reply_for_another_question_is_named(stage: Stage, script: Script) -> None:
    """Before any search, the reply to somebody else's token is told in plain words."""
    ana, bob = (script.ask(stage.get_or_create(owner)).record for owner in ("ana", "bob"))
    answer = stage.load(bob).apply(script.store)
    script.ask(stage.load(ana), lambda _: answer)
    assert "not for what was asked: its token differs" in refuted(script.verdict())


@pytest.mark.parametrize("at, is_right", [(IDLE - timedelta(microseconds=1), False), (IDLE, True)])
def test_a_sweep_takes_only_what_has_expired(stage: Stage, script: Script, at: timedelta, is_right: bool) -> None:
    """A session is swept at its deadline or later, not a tick before."""
    script.ask(stage.get_or_create("ana"))
    swept = stage.sweep(at=IDLE).apply(script.store)
    script.ask(stage.sweep(at=at), lambda _: swept)
    assert script.verdict().is_legal == is_right


def test_an_end_touches_no_sibling(stage: Stage, script: Script) -> None:
    """Other sessions of the owner are active after one has ended."""
    first, second = (script.ask(stage.create("ana")).record for _ in range(2))
    script.ask(stage.end(first))
    script.ask(stage.load(second), lambda _: c.Loaded(None, refusal="ended", refused_id=second.id))
    refuted(script.verdict())


def test_an_end_of_an_owner_leaves_none(stage: Stage, script: Script) -> None:
    """A session that `end_owner` has left out cannot have been active."""
    script.ask(stage.create("ana"))
    script.ask(stage.create("ana"))
    script.ask(stage.end_owner("ana"), lambda reply: evolve(reply, records=reply.records[:1]))
    assert "told by end_owner" in refuted(script.verdict())


def test_a_list_leaves_out_nobody_who_is_active(stage: Stage, script: Script) -> None:
    """A list that is whole shows every active session of the owner."""
    script.ask(stage.create("ana"))
    script.ask(stage.page(owner="ana"), lambda _: c.PageOfRecords((), None))
    assert "told by page" in refuted(script.verdict())


def test_a_token_after_its_grace_is_illegal(stage: Stage, script: Script) -> None:
    """A token that was replaced loads the session in its grace alone."""
    opened = script.ask(stage.create("ana")).record
    rotated = script.ask(stage.rotate(opened, grace=SECOND)).record
    script.ask(stage.load(opened.token_hash), lambda _: c.Loaded(rotated))
    assert script.verdict().is_legal
    script.ask(stage.load(opened.token_hash, at=SECOND), lambda _: c.Loaded(rotated))
    refuted(script.verdict())


def test_a_save_below_the_last_fence_is_illegal(stage: Stage, script: Script) -> None:
    """Once a lock was taken anew, a save with the former fence is refused."""
    opened = script.ask(stage.create("ana")).record
    script.ask(stage.acquire(opened, "first"))
    script.ask(stage.acquire(opened, "second", at=2 * SECOND))
    save = evolve(stage.save(opened, {"a": 1}, at=2 * SECOND), fence=c.Fence("door", 1))
    done = evolve(save, fence=None).apply(script.store)
    script.ask(save, lambda _: done)
    refuted(script.verdict())


@pytest.mark.parametrize("verb", ["get", "load", "save", "touch", "rotate", "end", "get_or_create", "acquire"])
def test_nothing_is_alive_at_its_deadline(stage: Stage, script: Script, verb: str) -> None:
    """What is right a tick before the deadline is wrong at it."""
    opened = script.ask(stage.get_or_create("ana")).record
    arguments: dict[str, Any] = {"save": (opened, {"a": 1}), "get_or_create": ("ana",), "acquire": (opened, "a")}
    command = getattr(stage, verb)(*arguments.get(verb, (opened,)), at=IDLE - TICK)
    script.ask(command)
    assert script.verdict().is_legal
    at_the_deadline = evolve(command, at=stage.instant(IDLE))
    script.operations[-1] = evolve(script.operations[-1], args={"command": at_the_deadline})
    refuted(script.verdict())


def test_a_former_session_is_called_expired_only_if_it_is(stage: Stage, script: Script) -> None:
    """`replace` says why the former session ended, and names no other beside it."""
    first = script.ask(stage.create("ana")).record
    script.ask(stage.get_or_create("ana"))
    reply = script.ask(stage.replace("ana"))
    assert script.verdict().is_legal
    [former] = reply.ended
    expired = evolve(former, reason="expired", ended_us=former.expires_us)
    for ended in ((expired,), (former, evolve(former, id=first.id)), ()):
        script.operations[-1] = evolve(script.operations[-1], result=evolve(reply, ended=ended))
        refuted(script.verdict())


def test_a_repetition_names_those_that_it_ended(stage: Stage, script: Script) -> None:
    """A repeated `replace` or `end_owner` names the former sessions again, all of them and no others."""
    script.ask(stage.get_or_create("ana"))
    for command in (stage.replace("ana"), stage.end_owner("ana")):
        script.ask(command)
        reply = script.ask(command)
        assert script.verdict().is_legal
        honest = script.operations[-1]
        name = "ended" if isinstance(reply, c.Opened) else "records"
        others = script.operations[1].result.ended if name == "records" else ()
        for told in ((), (*getattr(reply, name), *others)):
            if told != getattr(reply, name):
                script.operations[-1] = evolve(honest, result=evolve(reply, **{name: told}))
                refuted(script.verdict())
        script.operations[-1] = honest


def test_a_lost_sweep_took_only_what_had_expired(stage: Stage, script: Script) -> None:
    """A sweep without an answer may have ended what had expired, and nothing else."""
    opened = script.ask(stage.get_or_create("ana", data={"a": 1})).record
    script.ask(stage.sweep(at=IDLE))
    script.operations[-1] = timed_out(script.operations[-1])
    script.ask(stage.get(opened))
    assert script.verdict().is_legal
    early = evolve(script.operations[1].args["command"], at=stage.instant(IDLE - TICK))
    script.operations[1] = evolve(script.operations[1], args={"command": early})
    refuted(script.verdict())


def test_a_fence_is_never_given_twice(stage: Stage, script: Script) -> None:
    """Whoever takes a lock after another gets a higher fence."""
    opened = script.ask(stage.create("ana")).record
    script.ask(stage.acquire(opened, "first"))
    script.ask(stage.acquire(opened, "second", at=2 * SECOND), lambda reply: evolve(reply, fence=1))
    assert "told by acquire_lock" in refuted(script.verdict())


def test_one_id_for_two_sessions_is_named(stage: Stage, script: Script) -> None:
    """Before any search, an id that was drawn twice is told in plain words."""
    first, second = stage.new("ana"), stage.new("bob")
    script.ask(stage.create(first))
    script.ask(stage.create(evolve(second, id=first.id)))
    assert f"the id {first.id} was given to two sessions" in refuted(script.verdict())


def test_two_active_sessions_of_a_slot_are_named(stage: Stage) -> None:
    """Before any search, two sessions of one slot that were given out by turns are told in plain words."""
    one, other = Script(), Script()
    first = one.ask(stage.get_or_create("ana")).record
    second = other.ask(stage.get_or_create("ana")).record
    one.ask(stage.load(first))
    other.ask(stage.load(second))
    verdict = check([*one.operations, *other.operations], SessionModel)
    assert "were active at once in the slot ('desk', 'ana', None)" in refuted(verdict)


def crashed_save(stage: Stage, script: Script) -> SessionRecord:
    """Open a session and save to it; the answer to the save is lost."""
    opened: SessionRecord = script.ask(stage.create("ana", data={"a": 0})).record
    script.ask(stage.save(opened, {"a": 1}))
    script.operations[-1] = timed_out(script.operations[-1])
    return opened


def test_a_lost_save_may_be_seen_or_not_but_not_undone(stage: Stage, script: Script) -> None:
    """A save without an answer was done, or is done later, or never; once it was seen it stays."""
    opened = crashed_save(stage, script)
    script.ask(stage.get(opened))
    assert script.verdict().is_legal
    script.operations[-1] = evolve(script.operations[-1], result=opened)
    script.ask(stage.get(opened))
    assert script.verdict().is_legal
    script.ask(stage.get(opened), lambda _: opened)
    assert "went back" in refuted(script.verdict())


def test_a_repeated_save_counts_once(stage: Stage, script: Script) -> None:
    """The same command again changes nothing more, whether or not the first one is known to be done."""
    opened = script.ask(stage.create("ana")).record
    save = stage.save(opened, {"a": 1})
    script.ask(save)
    script.operations[-1] = timed_out(script.operations[-1])
    script.ask(save)
    assert script.verdict().is_legal
    script.operations[-1] = evolve(
        script.operations[-1],
        result=c.Changed(Outcome.DONE, evolve(opened, data='{"a":1}', version=3)),
    )
    refuted(script.verdict())


def test_without_an_instant_the_clock_around_the_call_decides(stage: Stage) -> None:
    """A command without `at` takes effect at an instant that the clock showed during its call."""
    command = evolve(stage.create("ana"), at=None)
    record = stage.create(command.new).apply(ModelStore()).record
    operation = Operation("a", "create", {"command": command}, 0, 1, result=c.Opened(record))
    now = record.created_us
    assert check([evolve(operation, clock_at_call=now - 1, clock_at_ret=now + 1)], SessionModel).is_legal
    assert check([evolve(operation, clock_at_call=now - 9, clock_at_ret=now - 1)], SessionModel(slack_us=1)).is_legal
    refuted(check([evolve(operation, clock_at_call=now - 9, clock_at_ret=now - 1)], SessionModel))


def test_an_opening_at_an_unknown_instant_is_dated_by_the_first_who_sees_it(stage: Stage) -> None:
    """What was opened without an answer has the instants that a later record shows, and keeps them."""
    command = evolve(stage.create("ana"), at=None)
    record = stage.create(command.new).apply(ModelStore()).record
    moved = {"created_us": 5, "last_seen_us": 5, "expires_us": 5, "absolute_us": 5}
    later = evolve(record, **{name: getattr(record, name) + us for name, us in moved.items()})
    lost = Operation("a", "create", {"command": command}, 0, None, "info", clock_at_call=record.created_us)
    seen = Operation("b", "get", {"command": stage.get(record, at=START)}, 1, 2, result=later)
    other = evolve(seen, call=3, ret=4, result=evolve(later, last_seen_us=later.last_seen_us + 1))
    assert check([lost, seen], SessionModel).is_legal
    refuted(check([lost, seen, other], SessionModel))
    refuted(check([evolve(lost, clock_at_call=record.created_us + 6), seen], SessionModel))


def test_too_much_at_once_is_unknown_rather_than_slow() -> None:
    """A budget bounds the check of sessions as of anything else."""
    history = simulated(ModelStore(), clients=8, operations=200, seed=1, owners=("ana",))
    assert "UNKNOWN" in check(history, SessionModel, Budget(steps=20)).render()
