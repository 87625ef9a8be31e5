"""Steps that open a session: one of its own, or that of a slot."""

import copy
from collections.abc import Mapping
from typing import Any, Literal

from attrs import evolve, field, frozen

from sessionguard.core import commands as c
from sessionguard.core.records import Lifetime, SessionRecord
from sessionguard.core.session import Session
from sessionguard.core.tokens import is_anonymous
from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.steps.step import Replies, Step, spoil, value_of
from sessionguard.testing.machines.world import Entry, World, agree, is_active, require, seen_when_due, text_of

Verb = Literal["create", "get_or_create", "replace"]


@frozen(kw_only=True)
class Opens(Step):
    """Opens a session, or finds the one of the slot."""

    verb: Verb
    owner: str | None
    scope: str = "default"
    external_id: str | None = None
    data: Mapping[str, Any] = field(factory=dict)

    @property
    def name(self) -> str:
        return self.verb

    def about(self, hand: Hand) -> Lifetime:
        return hand.rules(self.scope).lifetime

    def ask(self, hand: Hand, about: Any) -> Any:
        call, data = getattr(hand.guard(self.via), self.verb), copy.deepcopy(dict(self.data))
        try:
            return call(self.owner, scope=self.scope, external_id=self.external_id, data=data)
        finally:
            spoil(data)

    def judge(self, world: World, told: Told) -> World:
        record = value_of(told)
        slot = (self.scope, record.owner, self.external_id)
        former = None if self.verb == "create" else world.holder(slot)
        if former is not None and self.verb == "get_or_create" and is_active(former.record, told.at_us):
            return self._found(world, former, told)
        self._is_fresh(world, record, told)
        if former is not None:
            reason = "replaced" if is_active(former.record, told.at_us) else "expired"
            world = world.with_end(former.record.id, reason, told.at_us)
        if self.verb == "create":
            generation = 1
        else:
            generation = record.generation
            require(generation > world.generation(slot), "the generation of a slot must grow")
            world = world.with_generation(slot, generation)
        entry = Entry(self._opened(record, told, generation), told.about)
        agree(entry.record, record)
        return world.with_entry(entry)

    def _found(self, world: World, former: Entry, told: Told) -> World:
        expected = seen_when_due(former, told.at_us)
        record = value_of(told)
        require(record.id == former.record.id, f"the slot has {former.record.id}, but another session was given")
        agree(evolve(expected, generation=record.generation), record)
        require(record.generation == former.record.generation, "a session keeps its generation")
        require(not told.value.is_new and told.value.token is None, "a session that was there is not new, has no token")
        return world.with_record(expected)

    def _is_fresh(self, world: World, record: SessionRecord, told: Told) -> None:
        require(world.find(record.id) is None and record.id not in world.forgotten, "an id was given twice")
        require(told.value.is_new, "a session was found where none is")
        require(told.is_lost or told.value.token is not None, "a new session comes with its token")
        if self.owner is None:
            taken = any(entry.record.owner == record.owner for entry in world.entries)
            require(is_anonymous(record.owner) and not taken, "a visitor has an owner that nobody else has")

    def _opened(self, record: SessionRecord, told: Told, generation: int) -> SessionRecord:
        lifetime: Lifetime = told.about
        absolute_us = told.at_us + lifetime.absolute_us
        return SessionRecord(
            id=record.id,
            scope=self.scope,
            owner=record.owner if self.owner is None else self.owner,
            external_id=self.external_id,
            exclusive=self.verb != "create",
            reason=None,
            created_us=told.at_us,
            last_seen_us=told.at_us,
            expires_us=min(told.at_us + lifetime.idle_us, absolute_us),
            absolute_us=absolute_us,
            ended_us=None,
            version=1,
            generation=generation,
            token_hash=record.token_hash,
            previous_hash=None,
            previous_until_us=None,
            touch_us=lifetime.touch_us,
            data=text_of(dict(self.data)),
        )

    def lost(self, told: Told, replies: Replies) -> Told | None:
        for command, reply in replies:
            if isinstance(reply, c.Opened):
                return evolve(told, value=Session(reply.record, is_new=reply.record.id == command.new.id))
        return None
