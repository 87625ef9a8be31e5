"""The verbs of the model that are about many sessions."""

from collections.abc import Iterator

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import settled
from sessionguard.core.records import REMEMBERED_US, SessionRecord
from sessionguard.testing.model.keeping import Answer, Entry, ModelBase, now


class ModelMany(ModelBase):
    """Listing, ending all of an owner, sweeping and purging."""

    def page(self, command: c.Page) -> c.PageOfRecords:
        with self.step():
            found = sorted(self.listed(command), key=lambda record: (-record.created_us, record.id))
            if command.cursor is not None:
                created, _, session_id = command.cursor.partition(" ")
                found = [r for r in found if (-r.created_us, r.id) > (-int(created), session_id)]
            page = tuple(found[: command.limit])
            more = len(found) > len(page)
            return c.PageOfRecords(page, f"{page[-1].created_us} {page[-1].id}" if more else None)

    def listed(self, command: c.Page) -> Iterator[SessionRecord]:
        """Give all records that the list would hold."""
        for entry in self.entries.values():
            record = settled(entry.record, now(command))
            status = "active" if record.reason is None else "ended"
            wanted = (command.scope, command.owner, command.status)
            found = (record.scope, record.owner, status)
            if all(wish in (None, value) for wish, value in zip(wanted, found, strict=True)):
                yield record

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        with self.step():
            answer = self.answered(command)
            if answer is not None:
                return self.ended_again(answer)
            meant = [entry for entry in self.entries.values() if self.is_meant(entry.record, command)]
            return self.answer(command, [self.finish_one(entry, command, command.reason) for entry in meant], False)

    def is_meant(self, record: SessionRecord, command: c.EndOwner) -> bool:
        """Tell whether `end_owner` is to end this one."""
        active = record.reason is None and not self.is_over(record, now(command))
        here = command.scope in (None, record.scope)
        return active and here and record.owner == command.owner and record.id != command.keep_id

    def sweep(self, command: c.Sweep) -> c.Ended:
        with self.step():
            answer = self.answered(command)
            if answer is not None:
                return self.ended_again(answer)
            due = self.expired(now(command))
            ended = [self.finish_one(entry, command, "expired") for entry in due[: command.limit]]
            return self.answer(command, ended, len(due) > len(ended))

    def finish_one(self, entry: Entry, command: c.EndOwner | c.Sweep, reason: str) -> SessionRecord:
        """End one of many."""
        return self.finish(entry, reason, now(command), command.operation_id)

    def answered(self, command: c.EndOwner | c.Sweep | c.Purge) -> Answer | None:
        """Give what this very command was answered before."""
        return self.answers.get(command.operation_id)

    def answer(self, command: c.EndOwner | c.Sweep, ended: list[SessionRecord], has_more: bool) -> c.Ended:
        """Give the answer and remember it."""
        ids = tuple(record.id for record in ended)
        self.answers[command.operation_id] = Answer(now(command), ids, has_more=has_more)
        return c.Ended(tuple(ended), has_more)

    def ended_again(self, answer: Answer) -> c.Ended:
        """Give the same sessions as they are now, without those that were forgotten since."""
        known = [self.entries[session_id].record for session_id in answer.session_ids if session_id in self.entries]
        return c.Ended(tuple(known), answer.has_more)

    def expired(self, now_us: int) -> list[Entry]:
        """Give what is to be swept, the longest expired first."""
        due = [e for e in self.entries.values() if e.record.reason is None and self.is_over(e.record, now_us)]
        return sorted(due, key=lambda entry: entry.record.expires_us)

    def purge(self, command: c.Purge) -> c.Purged:
        with self.step():
            answer = self.answered(command)
            if answer is not None:
                return c.Purged(answer.count, answer.has_more)
            self.answers = {name: a for name, a in self.answers.items() if now(command) < a.at_us + REMEMBERED_US}
            due = [entry for entry in self.entries.values() if self.is_forgettable(entry, command)]
            forgotten = sorted(due, key=lambda entry: entry.record.ended_us or 0)[: command.limit]
            for entry in forgotten:
                self.forget(entry.record)
            has_more = len(due) > len(forgotten)
            self.answers[command.operation_id] = Answer(now(command), count=len(forgotten), has_more=has_more)
            return c.Purged(len(forgotten), has_more)

    def is_forgettable(self, entry: Entry, command: c.Purge) -> bool:
        """Tell whether its time as history is over."""
        kept_us = entry.lifetime.retention_us if command.older_than_us is None else command.older_than_us
        is_old = entry.record.ended_us is not None and entry.record.ended_us + kept_us <= now(command)
        return is_old and not self.last_lapse(entry, now(command))

    def forget(self, record: SessionRecord) -> None:
        """Remove all trace of the session but the generation it used."""
        del self.entries[record.id]
