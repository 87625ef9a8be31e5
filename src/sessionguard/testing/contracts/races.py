"""Races for a slot: who opens, replaces and closes its one session when all come at once."""

from collections.abc import Sequence
from typing import Any

from sessionguard.core.commands import Opened
from sessionguard.core.driving import Flow, perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.arena import Counts, Race, race
from sessionguard.testing.contracts.cases import Steps
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.profile import Profile


@race
class T12EveryCallerGetsTheOneSession(Race):
    """Callers who open one empty slot at once all get one session, and exactly one of them is told that it is new."""

    def counts(self, profile: Profile) -> Counts:
        return Counts(profile.slot_rounds, profile.slot_callers, profile.slot_processes)

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        command = s.get_or_create(subject, data={"caller": number})
        opened = yield from perform(command)
        return opened.record, opened.record.token_hash == command.new.token_hash

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        records = {record for record, _ in seen}
        assert len(records) == 1, f"{len({record.id for record in records})} sessions were given out for one slot"
        assert [is_new for _, is_new in seen].count(True) == 1
        ended = (yield from perform(s.end_owner(subject))).records
        assert [record.id for record in ended] == [record.id for record in records]


@race
class T13NoClosedSessionIsGivenOut(Race):
    """While sessions of a slot open and close at once, never are two active, nor is one given out after its end."""

    turns = 6

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        closed: list[str] = []
        for _ in range(self.turns):
            opened = yield from perform(s.get_or_create(subject))
            if number % 3 == 0:
                end = yield from perform(s.end(opened.record))
                closed += [opened.record.id] if end.outcome is Outcome.DONE else []
        return closed

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        closed = [session_id for mine in seen for session_id in mine]
        assert len(closed) == len(set(closed)), "a session was closed twice"
        assert len((yield from perform(s.end_owner(subject))).records) <= 1


@race
class ReplacingLeavesOneActive(Race):
    """Callers who replace the session of a slot at once each get their own; all but one of these are ended, once."""

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        return (yield from perform(s.get_or_create(owner))).record

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        return (yield from perform(s.replace(subject.owner)))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Opened]) -> Steps:
        survivor = (yield from perform(s.get_or_create(subject.owner))).record
        opened = {reply.record.id for reply in seen}
        ended = [record.id for reply in seen for record in reply.ended]
        assert survivor.id in opened
        assert sorted(ended) == sorted((opened | {subject.id}) - {survivor.id})
        generations = [reply.record.generation for reply in seen]
        assert len({*generations, subject.generation}) == len(seen) + 1
        left = (yield from perform(s.end_owner(subject.owner))).records
        assert [record.id for record in left] == [survivor.id]


@race
class NoOlderGenerationOutlivesEndOwner(Race):
    """While callers open a slot, `end_owner` ends its session for good: later ones have a higher generation."""

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        return (yield from perform(s.get_or_create(owner))).record

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        if number == 0:
            return list((yield from perform(s.end_owner(subject.owner))).records)
        opened = []
        for _ in range(3):
            opened.append((yield from perform(s.get_or_create(subject.owner))).record)
        return opened

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        ended, *others = seen
        assert len(ended) == 1, "end_owner ended not the one session there was"
        (gone,) = ended
        assert (gone.id, gone.reason) == (subject.id, "revoked")
        current = (yield from perform(s.get_or_create(subject.owner))).record
        assert current.generation > gone.generation
        later = {record.id for opened in others for record in opened} - {subject.id}
        assert later <= {current.id}


@race
class RepetitionsAtOnceAreOneEffect(Race):
    """One opening command sent by all callers at once, as by a client that retries too early, opens one session."""

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        former = (yield from perform(s.get_or_create(owner))).record
        return former, s.create(owner), s.replace(owner)

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        _, create, replace = subject
        created = yield from perform(create)
        replaced = yield from perform(replace)
        return created.record, replaced.record

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        former, create, replace = subject
        assert len(set(seen)) == 1
        left = (yield from perform(s.end_owner(former.owner))).records
        assert {record.id for record in left} == {create.new.id, replace.new.id}
