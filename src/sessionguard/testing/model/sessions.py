"""The verbs of the model that are about one session."""

from collections.abc import Iterable
from typing import Any

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.data import join_fields, merge, size_bytes
from sessionguard.core.leases import LEASE
from sessionguard.core.lifecycle import Outcome, Refusal, settled
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.testing.model.keeping import Entry, now
from sessionguard.testing.model.leases import ModelLeases


class ModelSessions(ModelLeases):
    """Opening, reading and changing a session."""

    # Opening

    def identify(self, command: c.Identify) -> str:
        with self.step():
            return self.deployment_id

    def create(self, command: c.Create) -> c.Opened:
        with self.step():
            return self.known(command) or self.opened(command, None)

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        with self.step():
            known = self.known(command)
            if known is not None:
                return known
            holder = self.holder_of(command.new)
            if holder is None or self.is_over(holder.record, now(command)):
                return self.opened(command, holder)
            touched = self.touch_if_due(holder, now(command))
            return c.Opened(holder.record, touched=touched)

    def replace(self, command: c.Replace) -> c.Opened:
        with self.step():
            known = self.known(command)
            if known is not None:
                return known
            return self.opened(command, self.holder_of(command.new))

    def opened(self, command: Any, holder: Entry | None) -> c.Opened:
        """Open the session in the place of the holder of its slot, if there is one, and if a limit allows."""
        made = self.make_room(command, command.new.scope, command.new.owner, holder)
        if made is None:
            return c.REFUSED
        former = self.give_way(holder, command)
        record = self.open(command.new, not isinstance(command, c.Create), now(command))
        return c.Opened(record, self.as_told((*made, *former)))

    def give_way(self, holder: Entry | None, command: Any) -> tuple[SessionRecord, ...]:
        """End whoever holds the slot that is to be taken."""
        if holder is None:
            return ()
        reason = "expired" if self.is_over(holder.record, now(command)) else "replaced"
        return (self.finish(holder, reason, now(command), command.operation_id),)

    # Limits

    def make_room(self, command: Any, scope: str, owner: str, but: Entry | None) -> tuple[SessionRecord, ...] | None:
        """End whom the limit asks to end before the owner may have one more; None: there may be no more."""
        if command.at_most is None:
            return ()
        open_ones = [e for e in self.entries.values() if e is not but and self.counts(e.record, scope, owner)]
        if len(open_ones) < command.at_most.most:
            open_ones = []
        over = [e for e in open_ones if self.is_over(e.record, now(command))]
        excess = self.excess(command, len(open_ones) - len(over))
        if excess > 0 and command.at_most.on_limit == "refuse":
            return None
        queue = sorted(
            (e for e in open_ones if e not in over), key=lambda entry: self.turn_to_go(command, entry.record)
        )
        leaving = [*((e, "expired") for e in over), *((e, "limit") for e in queue[: max(excess, 0)])]
        return tuple(self.finish(e, reason, now(command), command.operation_id) for e, reason in leaving)

    def counts(self, record: SessionRecord, scope: str, owner: str) -> bool:
        """Tell whether a session that nobody has ended is the owner's in that scope."""
        return record.reason is None and (record.scope, record.owner) == (scope, owner)

    def excess(self, command: Any, active: int) -> int:
        """Give how many would be too many with one more."""
        return active + 1 - int(command.at_most.most)

    def turn_to_go(self, command: Any, record: SessionRecord) -> tuple[int, str]:
        """Give by what the sessions that may have to go are ordered."""
        oldest = command.at_most.on_limit == "end_oldest"
        return record.created_us if oldest else record.last_seen_us, record.id

    def as_told(self, ended: Iterable[SessionRecord]) -> tuple[SessionRecord, ...]:
        """Give sessions in the order in which answers tell them."""
        return tuple(sorted(ended, key=lambda record: (record.created_us, record.id)))

    def ended_by(self, command: Any, but: Entry) -> tuple[SessionRecord, ...]:
        """Give the sessions that this very command has ended before."""
        return self.as_told(e.record for e in self.entries.values() if e is not but and self.has_done(e, command))

    def known(self, command: Any) -> c.Opened | None:
        """Give the session that this very command has opened before, and those of its slot that it ended."""
        entry = self.entries.get(command.new.id)
        if entry is None:
            return None
        return c.Opened(entry.record, self.ended_by(command, entry))

    def holder_of(self, new: NewSession) -> Entry | None:
        """Give the session that holds the slot: not ended, though perhaps expired."""
        for entry in self.entries.values():
            if entry.record.exclusive and entry.record.reason is None and self.slot(entry.record) == self.slot(new):
                return entry
        return None

    def open(self, new: NewSession, exclusive: bool, now_us: int) -> SessionRecord:
        """Store a new session as active."""
        record = SessionRecord(
            id=new.id,
            scope=new.scope,
            owner=new.owner,
            external_id=new.external_id,
            exclusive=exclusive,
            reason=None,
            created_us=now_us,
            last_seen_us=now_us,
            expires_us=now_us + min(new.lifetime.idle_us, new.lifetime.absolute_us),
            absolute_us=now_us + new.lifetime.absolute_us,
            ended_us=None,
            version=1,
            generation=self.next_generation(new) if exclusive else 1,
            token_hash=new.token_hash,
            previous_hash=None,
            previous_until_us=None,
            touch_us=new.lifetime.touch_us,
            data=new.data,
        )
        self.entries[new.id] = Entry(record, new.lifetime)
        return record

    def next_generation(self, new: NewSession) -> int:
        """Give the number of the slot's next session."""
        self.generations[self.slot(new)] = self.generations.get(self.slot(new), 0) + 1
        return self.generations[self.slot(new)]

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        with self.step():
            entry = self.entry_of_token(command.token_hash)
            if entry is None:
                return c.Loaded(None, refusal="unknown")
            refusal = self.refusal(entry.record, command)
            if refusal is not None:
                return c.Loaded(None, refusal=refusal, refused_id=entry.record.id)
            touched = self.extends(command) and self.touch_if_due(entry, now(command))
            return c.Loaded(entry.record, touched)

    def extends(self, command: c.Load) -> bool:
        """Tell whether the load is to count as being seen."""
        return command.extends

    def entry_of_token(self, token_hash: bytes) -> Entry | None:
        """Give the session whose current or former token this is."""
        for entry in self.entries.values():
            if token_hash in (entry.record.token_hash, entry.record.previous_hash):
                return entry
        return None

    def refusal(self, record: SessionRecord, command: c.Load) -> Refusal | None:
        """Give why the session is not given out."""
        if record.reason is not None:
            return "expired" if record.reason == "expired" else "ended"
        if self.is_over(record, now(command)):
            return "expired"
        if record.token_hash != command.token_hash and not self.is_in_grace(record, now(command)):
            return "after grace"
        return None if command.scope in (None, record.scope) else "foreign scope"

    def is_in_grace(self, record: SessionRecord, now_us: int) -> bool:
        """Tell whether the former token is still honoured."""
        return record.previous_until_us is not None and now_us < record.previous_until_us

    def get(self, command: c.Get) -> SessionRecord | None:
        with self.step():
            entry = self.entries.get(command.session_id)
            return None if entry is None else settled(entry.record, now(command))

    # Changing one session

    def refused(self, command: Any) -> c.Changed:
        """Answer a change of a session that is not usable: done if it was done before, else ended."""
        entry = self.entries.get(command.session_id)
        if entry is None:
            return c.Changed(Outcome.ENDED, None)
        done = self.has_done(entry, command)
        return c.Changed(Outcome.DONE if done else Outcome.ENDED, settled(entry.record, now(command)))

    def save(self, command: c.Save) -> c.Changed:
        with self.step():
            entry = self.usable(command.session_id, now(command))
            if entry is None or self.is_taken(entry.record, command):
                return self.refused(command)
            if self.has_done(entry, command):
                return c.Changed(Outcome.DONE, entry.record)
            if self.is_fenced(command):
                return c.Changed(Outcome.FENCED, entry.record)
            if command.expected_version not in (None, entry.record.version):
                return c.Changed(Outcome.CONFLICT, entry.record)
            if not command.changes and not command.remove:
                return c.Changed(Outcome.DONE, entry.record)
            return self.write(entry, command)

    def is_fenced(self, command: c.Save) -> bool:
        """Tell whether the lock under which the save was made has been given to another since."""
        if command.fence is None:
            return False
        if command.fence.name == LEASE:
            return command.fence.number < self.lowest(self.entries[command.session_id])
        holding = self.holdings.get((command.session_id, command.fence.name))
        return holding is not None and command.fence.number < holding.fence

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        """Store the changed fields, if the data stays within its limit."""
        data = merge(entry.record.data, join_fields(command.changes), command.remove)
        if self.size(data) > command.limit_bytes:
            return c.Changed(Outcome.TOO_LARGE, entry.record, self.size(data))
        entry.record = evolve(entry.record, data=data, version=entry.record.version + 1)
        self.remember(entry, command.operation_id)
        return c.Changed(Outcome.DONE, entry.record)

    def size(self, data: str) -> int:
        """Give how much of its limit the data takes."""
        return size_bytes(data)

    def touch(self, command: c.Touch) -> c.Changed:
        with self.step():
            entry = self.usable(command.session_id, now(command))
            if entry is None or self.is_taken(entry.record, command):
                return self.refused(command)
            self.extend(entry, now(command))
            return c.Changed(Outcome.DONE, entry.record)

    def touch_if_due(self, entry: Entry, now_us: int) -> bool:
        """Extend the session if it was last seen long enough ago; tell whether it was."""
        if now_us - entry.record.last_seen_us < entry.record.touch_us:
            return False
        self.extend(entry, now_us)
        return True

    def extend(self, entry: Entry, now_us: int) -> None:
        """Write down that the session was seen."""
        seen_us = max(entry.record.last_seen_us, now_us)
        expires_us = min(seen_us + entry.lifetime.idle_us, entry.record.absolute_us)
        entry.record = evolve(entry.record, last_seen_us=seen_us, expires_us=expires_us)

    def see(self, entry: Entry, now_us: int) -> None:
        self.extend(entry, now_us)

    def rotate(self, command: c.Rotate) -> c.Changed:
        with self.step():
            entry = self.usable(command.session_id, now(command))
            if entry is None:
                return self.refused(command)
            record = entry.record
            if command.token_hash in (record.token_hash, record.previous_hash):
                return c.Changed(Outcome.DONE, record, ended=self.ended_by(command, entry))
            if not self.expects(record, command):
                return c.Changed(Outcome.CONFLICT, record)
            made = self.make_room_for_login(command, record)
            if made is None:
                return c.Changed(Outcome.FULL, record)
            entry.record = self.rotated(record, command)
            return c.Changed(Outcome.DONE, entry.record, ended=self.as_told(made))

    def make_room_for_login(self, command: c.Rotate, record: SessionRecord) -> tuple[SessionRecord, ...] | None:
        """End whom the limit asks to end before the session becomes one of its new owner; None: it may not."""
        if command.owner is None or command.owner == record.owner:
            return ()
        return self.make_room(command, record.scope, command.owner, None)

    def expects(self, record: SessionRecord, command: c.Rotate) -> bool:
        """Tell whether the token is the one that is to be replaced."""
        return record.token_hash == command.expected_hash

    def rotated(self, record: SessionRecord, command: c.Rotate) -> SessionRecord:
        """Give the record with its new token, and its owner if it receives one."""
        rotated = evolve(
            record,
            token_hash=command.token_hash,
            previous_hash=record.token_hash,
            previous_until_us=now(command) + command.grace_us,
        )
        return rotated if command.owner is None else evolve(rotated, owner=command.owner, exclusive=False)

    def end(self, command: c.End) -> c.Changed:
        with self.step():
            entry = self.usable(command.session_id, now(command))
            if entry is None or self.is_taken(entry.record, command):
                return self.refused(command)
            return c.Changed(Outcome.DONE, self.finish(entry, command.reason, now(command), command.operation_id))
