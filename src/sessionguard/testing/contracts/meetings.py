"""Races within one session: who writes, rotates, touches and ends it when all come at once."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sessionguard.core.commands import Changed
from sessionguard.core.data import decode
from sessionguard.core.driving import Flow, perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.arena import Counts, Race, race
from sessionguard.testing.contracts.cases import Steps
from sessionguard.testing.contracts.stage import IDLE, SECOND, START, TICK, Stage
from sessionguard.testing.profile import Profile

T = TypeVar("T")


def _only(winners: Sequence[T]) -> T:
    assert len(winners) == 1, f"{len(winners)} callers were told that theirs was done"
    return winners[0]


class _OneSession(Race):
    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        return (yield from perform(s.get_or_create(owner, data={"first": 0}))).record


@race
class EveryFieldSurvives(_OneSession):
    """Saves of different fields of one session at once are all done, and every field is there afterwards."""

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        return (yield from perform(s.save(subject, {f"field-{number}": number})))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Changed]) -> Steps:
        assert {reply.outcome for reply in seen} == {Outcome.DONE}
        stored = yield from perform(s.get(subject))
        assert stored is not None
        assert decode(stored.data) == {"first": 0} | {f"field-{number}": number for number in range(len(seen))}
        assert stored.version == 1 + len(seen)
        versions = [reply.record.version for reply in seen if reply.record is not None]
        assert sorted(versions) == list(range(2, len(seen) + 2))


@race
class OneExpectedVersionWins(_OneSession):
    """Of saves at once that expect the same version exactly one is done, and what it saved is what is stored."""

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        return (yield from perform(s.save(subject, {"winner": number}, expected_version=1)))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Changed]) -> Steps:
        winner = _only([number for number, reply in enumerate(seen) if reply.outcome is Outcome.DONE])
        assert {reply.outcome for reply in seen} <= {Outcome.DONE, Outcome.CONFLICT}
        stored = yield from perform(s.get(subject))
        assert stored is not None
        assert (stored.version, decode(stored.data)["winner"]) == (2, winner)


@race
class OneRotationWins(_OneSession):
    """Of rotations of one token at once exactly one is done; the others conflict, and their tokens open nothing."""

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        command = s.rotate(subject)
        return command.token_hash, (yield from perform(command))

    def judge(self, s: Stage, subject: Any, seen: Sequence[tuple[bytes, Changed]]) -> Steps:
        winner = _only([token_hash for token_hash, reply in seen if reply.outcome is Outcome.DONE])
        for token_hash, reply in seen:
            assert reply.record is not None
            assert reply.record.token_hash == winner
            loaded = yield from perform(s.load(token_hash))
            assert (loaded.record is not None) == (token_hash == winner)
        assert (yield from perform(s.load(subject))).record is not None


@race
class DifferentWritersUndoNothing(_OneSession):
    """Saves, touches and a rotation that meet in one session all take effect: none writes back what it read."""

    def counts(self, profile: Profile) -> Counts:
        # All of them commute, so more than these at once would leave the history without a verdict.
        return Counts(profile.rounds, min(profile.callers, 8), min(profile.processes, 2))

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        if number == 0:
            return (yield from perform(s.rotate(subject)))
        if number % 2:
            return (yield from perform(s.save(subject, {f"field-{number}": number})))
        return (yield from perform(s.touch(subject, at=number * SECOND)))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Changed]) -> Steps:
        assert {reply.outcome for reply in seen} == {Outcome.DONE}
        savers = range(1, len(seen), 2)
        stored = yield from perform(s.get(subject))
        assert stored is not None
        assert decode(stored.data) == {"first": 0} | {f"field-{number}": number for number in savers}
        assert stored.version == 1 + len(savers)
        latest = 2 * ((len(seen) - 1) // 2) * SECOND
        assert (stored.last_seen_us, stored.expires_us) == (s.us(latest), s.us(latest + IDLE))
        assert seen[0].record is not None
        assert (stored.token_hash, stored.previous_hash) == (seen[0].record.token_hash, subject.token_hash)


@race
class NothingIsSavedAfterTheEnd(_OneSession):
    """When a session ends among savers, saves that came later are refused, and none brings it or its data back."""

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        if number == 0:
            return [(yield from perform(s.end(subject)))]
        replies = []
        for turn in range(3):
            replies.append((yield from perform(s.save(subject, {f"field-{number}": turn}))))
        return replies

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        [end], *savers = seen
        assert end.outcome is Outcome.DONE
        saves = [reply for replies in savers for reply in replies]
        done = [reply for reply in saves if reply.outcome is Outcome.DONE]
        assert {reply.outcome for reply in saves} <= {Outcome.DONE, Outcome.ENDED}
        stored = yield from perform(s.get(subject))
        assert stored is not None
        assert stored == end.record
        assert stored.version == 1 + len(done)
        assert (stored.reason, decode(stored.data)) == ("revoked", {})
        assert (yield from perform(s.load(subject))).refusal == "ended"


@race
class OneEndIsTheFirst(_OneSession):
    """Of callers who end one session at once, each for another reason, exactly one is done and its reason stays."""

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        return (yield from perform(s.end(subject, f"reason-{number}")))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Changed]) -> Steps:
        winner = _only([number for number, reply in enumerate(seen) if reply.outcome is Outcome.DONE])
        assert {reply.record for reply in seen} == {seen[winner].record}
        stored = yield from perform(s.get(subject))
        assert stored is not None
        assert stored.reason == f"reason-{winner}"


@race
class SweepersSpareTheTouched(Race):
    """When sweepers meet callers who load at the last moment, each session is either extended or swept, once."""

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        opened = []
        for _ in range(callers):
            opened.append((yield from perform(s.create(owner))).record)
        return opened

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        if number % 2 == 0:
            return [record.id for record in (yield from perform(s.sweep(at=IDLE))).records]
        return (yield from perform(s.load(subject[number], at=IDLE - TICK))).record is not None

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        mine = {record.id for record in subject}
        swept = [session_id for ids in seen[::2] for session_id in ids if session_id in mine]
        assert len(swept) == len(set(swept)), "a session was swept twice"
        touched = {subject[number].id for number in range(1, len(seen), 2) if seen[number]}
        assert touched.isdisjoint(swept), "a session that was in use was swept"
        assert touched | set(swept) == mine
        for record in subject:
            loaded = yield from perform(s.load(record, at=IDLE))
            assert (loaded.record is not None) == (record.id in touched)
        yield from perform(s.end_owner(subject[0].owner, at=IDLE))


@race
class SweepersShareTheWork(Race):
    """Sweepers with small batches that meet end every expired session exactly once between them."""

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        opened = []
        for _ in range(2 * callers):
            opened.append((yield from perform(s.create(owner))).record.id)
        return opened

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        swept: list[str] = []
        for _ in range(2 * len(subject)):
            report = yield from perform(s.sweep(3, at=IDLE))
            swept.extend(record.id for record in report.records)
            if not report.has_more:
                break
        return swept

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        assert sorted(session_id for ids in seen for session_id in ids) == sorted(subject)
        assert (yield from perform(s.sweep(at=IDLE))).records == ()


@race
class OneHolderOfALock(_OneSession):
    """Of callers who take one lock at once exactly one holds it; when it lapses it is taken with a higher fence."""

    needs = "locks"

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        first = yield from perform(s.acquire(subject, f"holder-{number}", at=START))
        return first

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        fence = _only([reply.fence for reply in seen if reply.outcome is Outcome.DONE])
        assert {reply.outcome for reply in seen} <= {Outcome.DONE, Outcome.CONFLICT}
        later = yield from perform(s.acquire(subject, "later", at=SECOND))
        assert later.outcome is Outcome.DONE
        assert later.fence > fence


@race
class CallersNeverSeeEachOther(Race):
    """Callers with sessions of their own, who all write and read at once, never see anything of another."""

    turns = 5

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        owner = f"{subject}-{number}"
        opened = (yield from perform(s.get_or_create(owner, data={"canary": owner}))).record
        seen = {(opened.owner, decode(opened.data)["canary"])}
        for turn in range(self.turns):
            yield from perform(s.save(opened, {"canary": owner, "turn": turn}))
            loaded = (yield from perform(s.load(opened))).record
            assert loaded is not None
            data = decode(loaded.data)
            assert (loaded.id, data["turn"]) == (opened.id, turn)
            seen.add((loaded.owner, data["canary"]))
        return seen

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        for number, canaries in enumerate(seen):
            owner = f"{subject}-{number}"
            assert canaries == {(owner, owner)}
            assert len((yield from perform(s.end_owner(owner))).records) == 1


@race
class EndOwnerMissesNoSuccessor(Race):
    """While callers replace the session of a slot, which is never free, `end_owner` ends the one that is in it then."""

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        return (yield from perform(s.get_or_create(owner))).record

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        if number == 0:
            return [record.id for record in (yield from perform(s.end_owner(subject.owner))).records]
        opened = []
        for _ in range(3):
            opened.append((yield from perform(s.replace(subject.owner))).record.id)
        return opened

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        ended, *others = seen
        assert len(ended) == 1, f"end_owner ended {len(ended)} of one session"
        assert ended[0] in {subject.id, *(session_id for opened in others for session_id in opened)}
        gone = yield from perform(s.end_owner(subject.owner))
        assert {record.id for record in gone.records}.isdisjoint(ended)
