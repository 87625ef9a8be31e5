"""Steps that change a session: save, modify, touch, rotate."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from sessionguard.core import commands as c
from sessionguard.core.data import size_bytes
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.core.session import Session, is_in_grace, record_of
from sessionguard.core.tokens import is_anonymous
from sessionguard.errors import LockLostError, MisuseError, SessionConflictError, SessionTooLargeError
from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.steps.step import Replies, SessionStep, refused, spoil, usable_or_refused, value_of
from sessionguard.testing.machines.world import World, agree, require, seen, text_of


@frozen(kw_only=True)
class Saves(SessionStep):
    """Changes and removes fields."""

    changes: Mapping[str, Any] = field(factory=dict)
    remove: tuple[str, ...] = ()
    expects: bool = False
    """Whether the version must still be the one that the caller has."""
    under: int | None = None
    """The number of a lock that is, or was, held."""

    def about(self, hand: Hand) -> Any:
        session = super().about(hand)
        loan = None if self.under is None else hand.locks.get(self.under)
        return session, loan, hand.rules(session.scope).policy.max_data_bytes

    def ask(self, hand: Hand, about: Any) -> Any:
        session, loan, _ = about
        version = session.version if self.expects else None
        lock = None if loan is None or loan.session_id != session.id else loan.held
        guard, changes = hand.guard(self.via), copy.deepcopy(dict(self.changes))
        try:
            return guard.save(session, changes, remove=self.remove, expected_version=version, lock=lock)
        finally:
            spoil(changes)

    def judge(self, world: World, told: Told) -> World:
        session, loan, limit = told.about
        entry = usable_or_refused(world, told, session.id, record_of(session))
        if entry is None:
            return world
        if loan is not None and loan.session_id == session.id:
            fence = world.lock(session.id, loan.name).fence
            if loan.held.fence < fence:
                refused(told, LockLostError, session_id=session.id, fence=loan.held.fence)
                return world
        if self.expects and session.version != entry.record.version:
            refused(told, SessionConflictError, expected=session.version, found=entry.record.version)
            return world
        after = changed(entry.record, self.changes, self.remove)
        if size_bytes(after.data) > limit and after != entry.record:
            refused(told, SessionTooLargeError, session_id=session.id)
            return world
        agree(after, value_of(told))
        return world.with_record(after)


@frozen(kw_only=True)
class Counts(SessionStep):
    """Adds one to a field by `modify`, which must lose nobody else's."""

    counter: str = "n"

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).modify(about, self._add)

    def _add(self, data: dict[str, Any]) -> None:
        data[self.counter] = _number(data.get(self.counter)) + 1

    def judge(self, world: World, told: Told) -> World:
        entry = usable_or_refused(world, told, told.about.id, record_of(told.about))
        if entry is None:
            return world
        number = _number(json.loads(entry.record.data).get(self.counter))
        after = changed(entry.record, {self.counter: number + 1}, ())
        agree(after, value_of(told))
        return world.with_record(after)


def _number(value: object) -> int:
    return value if type(value) is int else 0


def changed(record: SessionRecord, changes: Mapping[str, Any], remove: tuple[str, ...]) -> SessionRecord:
    """Give the record with whole fields replaced or removed; without any, as it was."""
    if not changes and not remove:
        return record
    data = {**json.loads(record.data), **changes}
    for name in remove:
        data.pop(name, None)
    return evolve(record, data=text_of(data), version=record.version + 1)


@frozen(kw_only=True)
class Touches(SessionStep):
    """Extends the session."""

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).touch(about)

    def judge(self, world: World, told: Told) -> World:
        entry = usable_or_refused(world, told, told.about.id, record_of(told.about))
        if entry is None:
            return world
        expected = seen(entry, told.at_us)
        agree(expected, value_of(told))
        return world.with_record(expected)


@frozen(kw_only=True)
class Rotates(SessionStep):
    """Gives the session a new token, and an anonymous one its owner."""

    owner: str | None = None

    def about(self, hand: Hand) -> Any:
        session = super().about(hand)
        # From a login on the token before it is nobody's.
        return session, hand.rules(session.scope).grace_us if self.owner in (None, session.owner) else 0

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).rotate(about[0], owner=self.owner)

    def judge(self, world: World, told: Told) -> World:
        session, _ = told.about
        if self.owner not in (None, session.owner) and not is_anonymous(session.owner):
            refused(told, MisuseError)
            return world
        if is_in_grace(session):
            require(value_of(told) == record_of(session), "who has a former token gets the session as it was")
            require(told.value.token is None, "who has a former token gets no new one")
            return world
        known = world.find(session.id)
        is_theirs = known is not None and known.record.owner == self.owner
        entry = usable_or_refused(world, told, session.id, None if is_theirs else record_of(session))
        if entry is None:
            return world
        record = value_of(told)
        if record_of(session).token_hash != entry.record.token_hash:
            agree(entry.record, record)
            require(told.value.token is None, "who came second gets no token")
            return world
        after = self._rotated(entry.record, record.token_hash, told)
        agree(after, record)
        require(told.is_lost or told.value.token is not None, "a rotation gives a token")
        return world.with_record(after)

    def _rotated(self, record: SessionRecord, token_hash: bytes, told: Told) -> SessionRecord:
        require(token_hash != record.token_hash, "a rotation must give another token")
        rotated = evolve(
            record,
            token_hash=token_hash,
            previous_hash=record.token_hash,
            previous_until_us=told.at_us + told.about[1],
        )
        return rotated if self.owner is None else evolve(rotated, owner=self.owner, exclusive=False)

    def lost(self, told: Told, replies: Replies) -> Told | None:
        for _, reply in replies:
            if isinstance(reply, c.Changed) and reply.outcome is Outcome.DONE and reply.record is not None:
                return evolve(told, value=Session(reply.record))
        return None
