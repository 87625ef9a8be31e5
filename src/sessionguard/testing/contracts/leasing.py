"""Leases: many hold a session at once, each until its lease lapses; nothing is left of one that is over."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from sessionguard.core.commands import Fence
from sessionguard.core.driving import Flow, perform
from sessionguard.core.leases import LEASE, LeaseReply
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.arena import Counts, Race, race
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.encounters import Encounter, Meeting, Part, asks, encounter
from sessionguard.testing.contracts.stage import ABSOLUTE, IDLE, RETENTION, SECOND, START, TICK, TOUCH, Stage
from sessionguard.testing.profile import Profile


@case(needs="leases")
def many_hold_a_session_at_once(s: Stage) -> Steps:
    """Whoever comes holds an active session, beside all others and with a higher fence; other sessions are free."""
    opened = (yield from perform(s.create("ana"))).record
    sibling = (yield from perform(s.create("ana"))).record
    one, two = s.operation(), s.operation()
    first = yield from perform(s.hold(opened, one))
    second = yield from perform(s.elsewhere(s.hold(opened, two, lease=2 * SECOND)))
    assert (first.outcome, second.outcome) == (Outcome.DONE, Outcome.DONE)
    assert 0 < first.fence < second.fence
    assert (first.floor, second.floor) == (first.fence, first.fence)
    assert (first.until_us, second.until_us) == (s.us(SECOND), s.us(2 * SECOND))
    assert (yield from perform(s.elsewhere(s.leased(opened)))) == second.until_us
    assert (yield from perform(s.leased(sibling))) is None
    assert (yield from perform(s.leased(s.new()))) is None


@case(needs="leases")
def a_lease_lapses_at_its_instant(s: Stage) -> Steps:
    """A lease lives until the instant it lapses and not at it; renewed before, it goes on with its fence."""
    opened = (yield from perform(s.create())).record
    holder = s.operation()
    first = yield from perform(s.hold(opened, holder))
    assert (yield from perform(s.leased(opened, at=SECOND - TICK))) == s.us(SECOND)
    assert (yield from perform(s.leased(opened, at=SECOND))) is None
    kept = yield from perform(s.hold(opened, holder, at=SECOND - TICK))
    assert (kept.outcome, kept.fence, kept.until_us) == (Outcome.DONE, first.fence, s.us(2 * SECOND - TICK))
    late = yield from perform(s.hold(opened, holder, at=2 * SECOND - TICK))
    assert late.outcome is Outcome.DONE
    assert late.fence > first.fence
    assert late.floor == late.fence


@case(needs="leases")
def holding_a_session_extends_it(s: Stage) -> Steps:
    """Holding touches an active session, up to its absolute timeout, and changes nothing else about it."""
    opened = (yield from perform(s.create(data={"n": 1}))).record
    holder = s.operation()
    yield from perform(s.hold(opened, holder, at=SECOND))
    found = yield from perform(s.get(opened, at=SECOND))
    assert found is not None
    assert (found.last_seen_us, found.expires_us) == (s.us(SECOND), s.us(SECOND + IDLE))
    assert (found.data, found.version, found.token_hash) == (opened.data, opened.version, opened.token_hash)
    beat = SECOND
    while beat < ABSOLUTE:
        assert (yield from perform(s.hold(opened, holder, lease=IDLE, at=beat))).reason is None
        beat += IDLE / 2
    found = yield from perform(s.get(opened, at=ABSOLUTE - TICK))
    assert found is not None
    assert (found.reason, found.expires_us) == (None, s.us(ABSOLUTE))
    assert (yield from perform(s.hold(opened, holder, lease=IDLE, at=ABSOLUTE))).reason == "expired"


@case(needs="leases")
def a_lease_outlives_its_session(s: Stage) -> Steps:
    """Who holds a session that ends keeps it and is told why; a sweep and an end wait for nobody."""
    for way in ("revoked", "expired"):
        opened = (yield from perform(s.create())).record
        holder, other = s.operation(), s.operation()
        first = yield from perform(s.hold(opened, holder, lease=2 * IDLE))
        yield from perform(s.hold(opened, other, lease=2 * IDLE))
        if way == "revoked":
            assert (yield from perform(s.end(opened))).outcome is Outcome.DONE
        else:
            assert [record.id for record in (yield from perform(s.sweep(at=IDLE))).records] == [opened.id]
        ended = yield from perform(s.get(opened, at=IDLE))
        kept = yield from perform(s.hold(opened, holder, lease=IDLE, at=IDLE))
        assert (kept.outcome, kept.fence, kept.reason) == (Outcome.DONE, first.fence, way)
        assert (yield from perform(s.get(opened, at=IDLE))) == ended
        assert (yield from perform(s.leased(opened, at=IDLE))) == s.us(2 * IDLE)
        gone = yield from perform(s.let_go(opened, holder, at=IDLE))
        assert (gone.outcome, gone.until_us, gone.reason) == (Outcome.DONE, s.us(2 * IDLE), way)
        gone = yield from perform(s.let_go(opened, other, at=IDLE))
        assert (gone.outcome, gone.until_us) == (Outcome.DONE, 0)
        assert (yield from perform(s.leased(opened, at=IDLE))) is None


@case(needs="leases")
def nobody_begins_to_hold_a_dead_session(s: Stage) -> Steps:
    """A session that has ended or expired, or is not known, is held by nobody new, nor by who let its lease lapse."""
    ended = (yield from perform(s.create())).record
    late = s.operation()
    yield from perform(s.hold(ended, late, lease=SECOND))
    yield from perform(s.end(ended))
    expired = (yield from perform(s.create())).record
    for session, holder, at, reason in (
        (ended, s.operation(), SECOND, "revoked"),
        (ended, late, SECOND, "revoked"),
        (expired, s.operation(), IDLE, "expired"),
        (s.new(), s.operation(), START, None),
    ):
        assert (yield from perform(s.hold(session, holder, at=at))) == LeaseReply(Outcome.ENDED, reason=reason)
        assert (yield from perform(s.leased(session, at=at))) is None
    assert (yield from perform(s.hold(expired, s.operation(), at=IDLE - TICK))).outcome is Outcome.DONE


@case(needs="leases")
def only_its_holder_lets_go_of_a_lease(s: Stage) -> Steps:
    """Letting go ends this lease and no other; who holds none, or let it lapse, conflicts and ends nothing."""
    opened = (yield from perform(s.create())).record
    one, two = s.operation(), s.operation()
    yield from perform(s.hold(opened, one, lease=SECOND))
    yield from perform(s.hold(opened, two, lease=IDLE))
    assert (yield from perform(s.let_go(opened, s.operation()))).outcome is Outcome.CONFLICT
    assert (yield from perform(s.let_go(s.new(), one))).outcome is Outcome.CONFLICT
    gone = yield from perform(s.let_go(opened, one, at=SECOND))
    assert (gone.outcome, gone.until_us) == (Outcome.CONFLICT, s.us(IDLE))
    assert (yield from perform(s.leased(opened, at=SECOND))) == s.us(IDLE)
    gone = yield from perform(s.let_go(opened, two, at=IDLE - TICK))
    assert (gone.outcome, gone.until_us) == (Outcome.DONE, 0)
    assert (yield from perform(s.leased(opened, at=SECOND))) is None


@case(needs="leases")
def repeated_holding_and_letting_go_have_one_effect(s: Stage) -> Steps:
    """The same again is the same lease; what was given back is given back again, and not taken by a late repetition."""
    opened = (yield from perform(s.create())).record
    one, two = s.operation(), s.operation()
    command = s.hold(opened, one)
    first = yield from perform(command)
    assert (yield from perform(command)) == first
    assert (yield from perform(s.elsewhere(command))) == first
    second = yield from perform(s.hold(opened, two))
    release = s.let_go(opened, one)
    gone = yield from perform(release)
    assert (yield from perform(release)) == gone
    assert (yield from perform(s.elsewhere(release))) == gone
    late = yield from perform(s.elsewhere(command))
    assert (late.outcome, late.fence) == (Outcome.CONFLICT, 0)
    assert (yield from perform(s.hold(opened, two))).floor == second.fence
    yield from perform(s.end(opened))
    assert (yield from perform(command)).outcome is Outcome.CONFLICT
    assert (yield from perform(release)).outcome is Outcome.DONE


@case(needs="leases")
def a_held_session_is_not_forgotten(s: Stage) -> Steps:
    """A purge leaves a session that is held, for its files are in use; it goes with the next purge after that."""
    opened = (yield from perform(s.create())).record
    holder = s.operation()
    yield from perform(s.hold(opened, holder, lease=2 * RETENTION))
    yield from perform(s.end(opened))
    for older_than in (None, START):
        assert (yield from perform(s.purge(older_than, at=2 * RETENTION - TICK))).count == 0
    assert (yield from perform(s.leased(opened, at=2 * RETENTION - TICK))) == s.us(2 * RETENTION)
    assert (yield from perform(s.purge(at=2 * RETENTION))).count == 1
    assert (yield from perform(s.leased(opened, at=RETENTION))) is None
    assert (yield from perform(s.hold(opened, holder))) == LeaseReply(Outcome.ENDED)


@case(needs="leases")
def a_save_under_a_lapsed_lease_is_refused(s: Stage) -> Steps:
    """Who was stopped past its lease saves nothing once another has come; those who hold together all save."""
    opened = (yield from perform(s.create(data={"n": 0}))).record
    stopped, other, third = s.operation(), s.operation(), s.operation()
    first = Fence(LEASE, (yield from perform(s.hold(opened, stopped, lease=SECOND))).fence)
    second = Fence(LEASE, (yield from perform(s.hold(opened, other, lease=IDLE))).fence)
    for fence in (first, second, first):
        assert (yield from perform(s.save(opened, {"n": 1}, fence=fence))).outcome is Outcome.DONE
    # Nobody has come since it lapsed.
    assert (yield from perform(s.save(opened, {"n": 2}, fence=first, at=SECOND))).outcome is Outcome.DONE
    third_fence = Fence(LEASE, (yield from perform(s.hold(opened, third, lease=IDLE, at=SECOND))).fence)
    assert (yield from perform(s.save(opened, {"n": 3}, fence=first, at=SECOND))).outcome is Outcome.FENCED
    for fence in (second, third_fence):
        assert (yield from perform(s.save(opened, {"n": 4}, fence=fence, at=SECOND))).outcome is Outcome.DONE
    yield from perform(s.let_go(opened, other, at=SECOND))
    yield from perform(s.let_go(opened, third, at=SECOND))
    for fence, outcome in ((second, Outcome.FENCED), (third_fence, Outcome.DONE)):
        assert (yield from perform(s.save(opened, {"n": 5}, fence=fence, at=SECOND))).outcome is outcome


@case(needs="leases")
def who_knew_a_visitor_holds_nothing_new_after_its_login(s: Stage) -> Steps:
    """A session known as a visitor's is over for a new holder from its login on; who held it keeps it untouched."""
    visitor = (yield from perform(s.create(s.mint.anonymous_owner()))).record
    before, late, gone = s.operation(), s.operation(), s.operation()
    held = yield from perform(evolve(s.hold(visitor, before, lease=IDLE), meant=visitor))
    yield from perform(evolve(s.hold(visitor, late, lease=SECOND), meant=visitor))
    yield from perform(evolve(s.hold(visitor, gone), meant=visitor))
    yield from perform(s.let_go(visitor, gone))
    rotated = (yield from perform(s.rotate(visitor, owner="ana"))).record
    assert rotated is not None
    for holder, outcome in ((s.operation(), Outcome.ENDED), (late, Outcome.ENDED), (gone, Outcome.CONFLICT)):
        stale = evolve(s.hold(visitor, holder, at=SECOND), meant=visitor)
        assert (yield from perform(stale)) == LeaseReply(outcome, reason="login")
    kept = yield from perform(evolve(s.hold(visitor, before, lease=IDLE, at=SECOND), meant=visitor))
    assert (kept.outcome, kept.fence, kept.reason) == (Outcome.DONE, held.fence, "login")
    assert kept.until_us == s.us(SECOND + IDLE)
    assert (yield from perform(s.get(rotated, at=SECOND))) == rotated
    # Who has logged in goes on, with that hold and with a new one.
    under = s.save(rotated, {"n": 1}, fence=Fence(LEASE, held.fence), at=SECOND)
    assert (yield from perform(evolve(under, meant=rotated))).outcome is Outcome.DONE
    owners = yield from perform(evolve(s.hold(rotated, s.operation(), at=SECOND), meant=rotated))
    assert (owners.outcome, owners.fence > held.fence, owners.reason) == (Outcome.DONE, True, None)
    assert (yield from perform(s.let_go(visitor, before, at=SECOND))).outcome is Outcome.DONE
    yield from perform(s.end(rotated, at=SECOND))
    stale = evolve(s.hold(visitor, s.operation(), at=SECOND), meant=visitor)
    assert (yield from perform(stale)) == LeaseReply(Outcome.ENDED, reason="revoked")
    other = (yield from perform(s.create(s.mint.anonymous_owner()))).record
    assert (yield from perform(evolve(s.hold(other, s.operation()), meant=other))).reason is None


@case
def a_load_that_does_not_extend_writes_nothing(s: Stage) -> Steps:
    """A load that is not to extend the session gives it, or why there is none, and leaves its time as it was."""
    opened = (yield from perform(s.get_or_create())).record
    loaded = yield from perform(s.load(opened, extends=False, at=TOUCH))
    assert (loaded.record, loaded.touched) == (opened, False)
    assert (yield from perform(s.load(opened, extends=False, at=IDLE - TICK))).record == opened
    assert (yield from perform(s.load(opened, extends=False, at=IDLE))).refusal == "expired"
    assert (yield from perform(s.load(opened, extends=False, scope="elsewhere", at=TOUCH))).refusal == "foreign scope"
    rotated = (yield from perform(s.rotate(opened, grace=2 * TOUCH))).record
    assert rotated is not None
    assert (yield from perform(s.load(opened, extends=False, at=TOUCH))).record == rotated
    assert (yield from perform(s.load(opened, extends=False, at=2 * TOUCH))).refusal == "after grace"
    assert (yield from perform(s.get(opened, at=TOUCH))) == rotated
    assert (yield from perform(s.load(rotated, at=TOUCH))).touched


@race
class HoldersAtOnceAllHold(Race):
    """Callers who hold one session at once all do, with different fences, and those who let go end no other's lease."""

    needs = "leases"

    def counts(self, profile: Profile) -> Counts:
        """Few enough for a verdict: all are about one session, and orders are many."""
        return Counts(profile.rounds, min(profile.callers, 6), min(profile.processes, 2))

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        return (yield from perform(s.create(owner))).record

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        holder = s.operation()
        held = yield from perform(s.hold(subject, holder, lease=(number + 1) * SECOND))
        if number % 2 == 0:
            yield from perform(s.let_go(subject, holder))
        return held

    def judge(self, s: Stage, subject: Any, seen: Sequence[LeaseReply]) -> Steps:
        assert {reply.outcome for reply in seen} == {Outcome.DONE}
        assert len({reply.fence for reply in seen}) == len(seen)
        last = max((number for number in range(len(seen)) if number % 2), default=None)
        expected = None if last is None else s.us((last + 1) * SECOND)
        assert (yield from perform(s.leased(subject))) == expected


class _OnOneSession(Encounter):
    needs = "leases"

    def prepare(self, m: Meeting) -> Flow[Any]:
        return (yield from perform(m.s.get_or_create(m.owner))).record


@encounter
class HoldersMeetAnEnd(_OnOneSession):
    """Of callers who come to hold a session as it ends each holds it or is refused; who holds it keeps its files."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        one, two = m.s.operation(), m.s.operation()
        return {
            "holds": [asks(m.s.hold(subject, one)), asks(m.s.let_go(subject, one))],
            "holds late": [asks(m.s.hold(subject, two))],
            "removes": [asks(m.s.end(subject)), asks(m.s.leased(subject))],
        }


@encounter
class HoldersMeetASweep(_OnOneSession):
    """A session that is held anew at the last moment is not swept, and one that is swept is held by nobody new."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        one = m.s.operation()
        return {
            "holds": [asks(m.s.hold(subject, one, lease=2 * IDLE, at=IDLE - TICK))],
            "lets go": [asks(m.s.let_go(subject, one, at=IDLE))],
            "sweeps": [asks(m.s.sweep(at=IDLE)), asks(m.s.leased(subject, at=IDLE))],
        }


@encounter
class StaleHoldersMeetASave(_OnOneSession):
    """Once someone has come after a lease lapsed, nothing is saved under it; its holder may come again meanwhile."""

    def prepare(self, m: Meeting) -> Flow[Any]:
        opened = yield from super().prepare(m)
        held = yield from perform(m.s.hold(opened, "0123456789abcdef"))
        return opened, held.fence

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        opened, fence = subject
        save = m.s.save(opened, {"stale": 1}, fence=Fence(LEASE, fence), at=SECOND)
        return {
            "stopped": [asks(save), asks(m.s.hold(opened, "0123456789abcdef", at=SECOND))],
            "comes": [asks(m.s.hold(opened, m.s.operation(), at=SECOND))],
            "reads": [asks(m.s.get(opened, at=SECOND))],
        }
