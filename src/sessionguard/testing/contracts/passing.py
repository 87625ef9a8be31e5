"""Races in what is passed on: locks between holders, sessions from visitors to owners, commands that come twice."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from sessionguard.core.commands import Fence
from sessionguard.core.data import decode
from sessionguard.core.driving import Flow, perform
from sessionguard.core.lifecycle import Outcome
from sessionguard.testing.contracts.arena import Race, race
from sessionguard.testing.contracts.cases import Steps
from sessionguard.testing.contracts.stage import IDLE, LIFETIME, SECOND, Stage


@race
class StaleHoldersSaveNothing(Race):
    """While a lock passes from holder to holder, no save of a former holder lands after one of a later holder."""

    needs = "locks"
    tries, turns = 24, 4

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        return (yield from perform(s.create(owner))).record

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        saves: list[Any] = []
        fences: list[int] = []
        for turn in range(self.tries):
            if len(fences) == self.turns:
                break
            holder = f"holder-{number}-{turn}"
            held = yield from perform(s.acquire(subject, holder, lease=IDLE))
            if held.outcome is not Outcome.DONE:
                continue
            fences.append(held.fence)
            saves.append((yield from self._saved(s, subject, held.fence)))
            yield from perform(s.release(subject, holder))
            # Now others may have taken it; and whoever held it twice is stale with its first fence for certain.
            for fence in (held.fence, fences[0]):
                saves.append((yield from self._saved(s, subject, fence)))
        return saves

    def _saved(self, s: Stage, subject: Any, fence: int) -> Flow[Any]:
        saved = yield from perform(s.save(subject, {"fence": fence}, fence=Fence("door", fence)))
        return saved.outcome, saved.record and saved.record.version, fence

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        saves = [save for mine in seen for save in mine]
        fences = {fence for _, _, fence in saves}
        assert {outcome for outcome, _, _ in saves} <= {Outcome.DONE, Outcome.FENCED}
        landed = sorted((version, fence) for outcome, version, fence in saves if outcome is Outcome.DONE)
        assert [version for version, _ in landed] == list(range(2, len(landed) + 2))
        assert [fence for _, fence in landed] == sorted(fence for _, fence in landed), "a stale holder saved"
        # The first save of every holder came before its release, so nobody can have fenced it off.
        assert {fence for _, fence in landed} == fences
        assert {outcome for outcome, _, fence in saves if fence == max(fences)} == {Outcome.DONE}
        stored = yield from perform(s.get(subject))
        assert stored is not None
        assert (stored.version, decode(stored.data)["fence"]) == landed[-1]


@race
class LoginsMeetEndOwner(Race):
    """Of sessions that an owner receives while `end_owner` runs, those received before it began are ended, each once.

    `end_owner` need be atomic within one shard only. So of the sessions whose rotation met it each is either ended
    and reported, or active; one whose rotation was answered before `end_owner` was asked is ended, and one whose
    rotation was asked after `end_owner` was answered is active.
    """

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        visitors = []
        for visitor in s.visitors(owner, 2 * callers):
            visitors.append((yield from perform(s.create(visitor))).record)
        for record in visitors[callers:]:
            yield from perform(s.rotate(record, owner=owner))
        return owner, visitors[:callers], [record.id for record in visitors[callers:]]

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        owner, visitors, _ = subject
        if number == 0:
            return (yield from perform(s.end_owner(owner)))
        return (yield from perform(s.rotate(visitors[number], owner=owner)))

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        owner, visitors, early = subject
        report, *logins = seen
        reported = [record.id for record in report.records]
        assert len(reported) == len(set(reported)), "a session was reported twice"
        assert set(early) <= set(reported), "a session received before was left active"
        survivors = set()
        for visitor, login in zip(visitors[1:], logins, strict=True):
            assert login.outcome is Outcome.DONE
            loaded = yield from perform(s.load(login.record))
            assert (loaded.record is None) == (visitor.id in reported)
            if visitor.id not in reported:
                survivors.add(visitor.id)
        assert {record.id for record in (yield from perform(s.end_owner(owner))).records} == survivors


@race
class RepetitionsAtOnceGiveOneAnswer(Race):
    """One `end_owner`, one sweep and one purge, each sent by all callers at once, give all of them the same answer."""

    def prepare(self, s: Stage, callers: int) -> Flow[Any]:
        owner = yield from super().prepare(s, callers)
        for number in range(6):
            yield from perform(s.create(owner if number % 2 else f"{owner}-expired"))
        soon = evolve(LIFETIME, retention_us=0)
        for _ in range(3):
            over = (yield from perform(s.create(f"{owner}-over", lifetime=soon))).record
            yield from perform(s.end(over))
        return s.end_owner(owner), s.sweep(2, at=IDLE), s.purge(limit=2, at=SECOND)

    def caller(self, s: Stage, subject: Any, number: int) -> Flow[Any]:
        replies = []
        for command in subject:
            replies.append((yield from perform(command)))
        return tuple(replies)

    def judge(self, s: Stage, subject: Any, seen: Sequence[Any]) -> Steps:
        assert len(set(seen)) == 1
        ended, swept, purged = seen[0]
        assert (len(ended.records), len(swept.records), purged.count) == (3, 2, 2)
        yield from perform(s.sweep(at=IDLE))
