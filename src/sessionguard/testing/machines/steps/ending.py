"""Steps that end sessions, by a call or by time, and forget them."""

from datetime import timedelta
from typing import Any

from attrs import evolve, frozen

from sessionguard.core import commands as c
from sessionguard.core.instants import duration_us
from sessionguard.core.reports import SweepReport
from sessionguard.core.session import record_of
from sessionguard.core.visitors import is_taken
from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.steps.step import Replies, SessionStep, Step, value_of
from sessionguard.testing.machines.world import Entry, World, agree, ended, is_active, require


@frozen(kw_only=True)
class Ends(SessionStep):
    """Ends one session."""

    reason: str = "revoked"

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).end(about, self.reason)

    def judge(self, world: World, told: Told) -> World:
        entry = world.usable(told.about.id, told.at_us)
        if entry is None or is_taken(entry.record, record_of(told.about)):
            require(told.error is None and told.value is None, f"it was over for the caller, but it was told {told}")
            return world
        agree(ended(entry, self.reason, told.at_us), value_of(told))
        if not told.is_lost:
            removed = told.value.removed
            require(entry.leases or not removed.deferred, "files that nobody uses are removed at once")
            require(not entry.leases or removed.deferred, "files in use were removed")
        return world.with_end(entry.record.id, self.reason, told.at_us)


@frozen(kw_only=True)
class EndsOwner(Step):
    """Ends all sessions of an owner, but perhaps one."""

    owner: str
    scope: str | None = None
    keep: int | None = None

    def about(self, hand: Hand) -> str | None:
        return None if self.keep is None else hand.session(self.keep).id

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).end_owner(self.owner, scope=self.scope, keep=about)

    def judge(self, world: World, told: Told) -> World:
        meant = [entry.record.id for entry in world.entries if self._is_meant(entry, told)]
        require(told.error is None and told.value == len(meant), f"{len(meant)} sessions end, but it was told {told}")
        for session_id in meant:
            world = world.with_end(session_id, "revoked", told.at_us)
        return world

    def _is_meant(self, entry: Entry, told: Told) -> bool:
        record = entry.record
        here = self.scope in (None, record.scope) and record.owner == self.owner
        return here and record.id != told.about and is_active(record, told.at_us)

    def lost(self, told: Told, replies: Replies) -> Told | None:
        for _, reply in replies:
            if isinstance(reply, c.Ended):
                return evolve(told, value=len(reply.records))
        return None


@frozen
class Swept:
    """What a sweep reported, and whom it ended."""

    report: SweepReport | None
    ended: frozenset[str]


@frozen(kw_only=True)
class Sweeps(Step):
    """Ends what has expired, up to a limit."""

    limit: int = 1000

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).sweep(self.limit)

    def answer(self, value: Any, asked: Replies) -> Any:
        return Swept(value, _ended(asked))

    def judge(self, world: World, told: Told) -> World:
        require(told.error is None, f"a sweep must not fail: {told.error}")
        swept: Swept = told.value
        due = {
            e.record.id: e.record
            for e in world.entries
            if e.record.reason is None and not is_active(e.record, told.at_us)
        }
        require(swept.ended <= due.keys(), "a sweep ended who had not expired, or was known to have ended")
        left = due.keys() - swept.ended
        latest = max((due[one].expires_us for one in swept.ended), default=0)
        require(all(due[one].expires_us >= latest for one in left), "who has expired longest is swept first")
        if swept.report is not None:
            require(
                len(swept.ended) == min(self.limit, len(due)), f"{len(due)} had expired, {len(swept.ended)} were swept"
            )
            told_of = (swept.report.ended, swept.report.has_more)
            require(told_of == (len(swept.ended), bool(left)), f"a sweep miscounted: {swept.report}")
        for session_id in swept.ended:
            world = world.with_end(session_id, "expired", told.at_us)
        return world

    def lost(self, told: Told, replies: Replies) -> Told | None:
        return evolve(told, value=Swept(None, _ended(replies)))


def _ended(replies: Replies) -> frozenset[str]:
    return frozenset(record.id for _, reply in replies if isinstance(reply, c.Ended) for record in reply.records)


@frozen(kw_only=True)
class Purges(Step):
    """Forgets what ended long ago."""

    older_than: timedelta | None = None

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).purge(self.older_than).purged

    def judge(self, world: World, told: Told) -> World:
        due = frozenset(entry.record.id for entry in world.entries if self._is_due(entry, told.at_us))
        require(told.error is None and told.value == len(due), f"{len(due)} are forgotten, but it was told {told}")
        return world.without(due)

    def _is_due(self, entry: Entry, now_us: int) -> bool:
        kept_us = entry.lifetime.retention_us if self.older_than is None else duration_us(self.older_than)
        return entry.record.ended_us is not None and entry.record.ended_us + kept_us <= now_us

    def lost(self, told: Told, replies: Replies) -> Told | None:
        counts = [reply.count for _, reply in replies if isinstance(reply, c.Purged)]
        return evolve(told, value=sum(counts)) if counts else None
