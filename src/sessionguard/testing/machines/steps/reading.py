"""Steps that read: by token, by id, and lists."""

from typing import Any, ClassVar

from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.session import Session, is_in_grace, record_of
from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.steps.step import Replies, SessionStep, Step, value_of
from sessionguard.testing.machines.world import Entry, World, agree, is_active, require, seen_when_due, settled, slot_of


@frozen(kw_only=True)
class Loads(SessionStep):
    """Comes with the newest token of a session that any caller has, or with the `first`."""

    scope: str | None = None

    def about(self, hand: Hand) -> Any:
        token = hand.token(self.session, first=self.first)
        return token, hand.parts.setting.mint.hash_of(token)

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).load(about[0], scope=self.scope)

    def judge(self, world: World, told: Told) -> World:
        entry = self._admitted(world, told)
        if entry is None:
            require(
                told.error is None and told.value is None, f"this token leads to no session, but it was told {told}"
            )
            return world
        expected = seen_when_due(entry, told.at_us)
        agree(expected, value_of(told))
        former = entry.record.token_hash != told.about[1]
        require(is_in_grace(told.value) == former, "who comes with a former token must be known to")
        return world.with_record(expected)

    def _admitted(self, world: World, told: Told) -> Entry | None:
        for entry in world.entries:
            record = entry.record
            if told.about[1] not in (record.token_hash, record.previous_hash) or not is_active(record, told.at_us):
                continue
            is_late = told.about[1] != record.token_hash and told.at_us >= (record.previous_until_us or 0)
            return None if is_late or self.scope not in (None, record.scope) else entry
        return None

    def lost(self, told: Told, replies: Replies) -> Told | None:
        for _, reply in replies:
            if isinstance(reply, c.Loaded) and reply.record is not None:
                former = reply.record.token_hash != told.about[1]
                return Told(told.at_us, told.about, Session(reply.record, in_grace=former), is_lost=True)
        return None


@frozen(kw_only=True)
class LoadsForged(Step):
    """Comes with something that no guard has ever given out."""

    token: Any
    reads_only: ClassVar[bool] = True

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).load(self.token)

    def judge(self, world: World, told: Told) -> World:
        require(told.error is None and told.value is None, f"a forged token leads nowhere, but it was told {told}")
        return world


@frozen(kw_only=True)
class Gets(SessionStep):
    """Asks by id."""

    reads_only: ClassVar[bool] = True

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).get(about.id)

    def judge(self, world: World, told: Told) -> World:
        entry = world.find(told.about.id)
        if entry is None:
            require(told.error is None and told.value is None, f"nobody has this id, but it was told {told}")
        else:
            agree(settled(entry.record, told.at_us), value_of(told))
        return world


@frozen(kw_only=True)
class GetsForged(Step):
    """Asks by an id that no guard has ever given out."""

    session_id: Any
    reads_only: ClassVar[bool] = True

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).get(self.session_id)

    def judge(self, world: World, told: Told) -> World:
        require(told.error is None and told.value is None, f"nobody has this id, but it was told {told}")
        return world


@frozen(kw_only=True)
class Lists(Step):
    """Walks through a whole list."""

    scope: str | None = None
    owner: str | None = None
    status: c.Status | None = "active"
    reads_only: ClassVar[bool] = True

    def ask(self, hand: Hand, about: Any) -> Any:
        sessions = hand.guard(self.via).sessions(scope=self.scope, owner=self.owner, status=self.status)
        return tuple(record_of(session) for session in sessions)

    def judge(self, world: World, told: Told) -> World:
        require(told.error is None, f"a list must not fail: {told.error}")
        listed = {record.id: record for record in told.value}
        require(len(listed) == len(told.value), "a session was listed twice")
        expected = {record.id: record for record in self._expected(world, told.at_us)}
        for session_id in expected.keys() | listed.keys():
            require(session_id in expected, f"{session_id} was listed and does not belong there")
            require(session_id in listed, f"{session_id} was left out")
            agree(expected[session_id], listed[session_id])
        slots = [slot_of(record) for record in told.value if record.exclusive and record.reason is None]
        require(len(set(slots)) == len(slots), "a slot has two active sessions")
        if self.owner is not None:
            created = [record.created_us for record in told.value]
            require(created == sorted(created, reverse=True), "one owner's sessions are listed newest first")
        return world

    def _expected(self, world: World, now_us: int) -> Any:
        for entry in world.entries:
            record = settled(entry.record, now_us)
            status = "active" if record.reason is None else "ended"
            found = (record.scope, record.owner, status)
            if all(
                wish in (None, value) for wish, value in zip((self.scope, self.owner, self.status), found, strict=True)
            ):
                yield record
