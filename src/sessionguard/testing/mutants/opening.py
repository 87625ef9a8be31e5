"""Planted bugs in opening: slots, generations, and who is found."""

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.records import Lifetime, NewSession, SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry, now
from sessionguard.testing.mutants.planting import Gap, planted


@planted("t12_every_caller_gets_the_one_session")
class CheckThenInsert(Gap):
    """Looks whether the slot is free and inserts in a second step, so two callers both find it free."""

    def holder_of(self, new: NewSession) -> Entry | None:
        holder = super().holder_of(new)
        if holder is None:
            self.gap()
        return holder


@planted("replacing_leaves_one_active")
class ReplacesInTwoSteps(Gap):
    """`replace` ends the former session and opens the new one in two steps, so two callers end the same one."""

    def give_way(self, holder: Entry | None, command: c.Replace) -> tuple[SessionRecord, ...]:
        ended = super().give_way(holder, command)
        self.gap()
        return ended


@planted("replace_returns_the_former_session", "replacing_leaves_one_active", "generations_grow_within_a_slot")
class ReplaceLeavesTwoActive(ModelStore):
    """`replace` opens the new session and forgets to end the former one."""

    def give_way(self, holder: Entry | None, command: c.Replace) -> tuple[SessionRecord, ...]:
        return ()


@planted("get_or_create_never_finds_a_created_session", "replace_leaves_created_sessions_alone")
class FindsCreatedSessions(ModelStore):
    """`create` puts its session into the slot of its owner, where the next `get_or_create` finds it."""

    def open(self, new: NewSession, exclusive: bool, now_us: int) -> SessionRecord:
        return super().open(new, True, now_us)


@planted("generations_grow_within_a_slot", "get_or_create_after_an_end_opens_a_new_session")
class GenerationRestarts(ModelStore):
    """Every session of a slot gets the generation 1, so an old save cannot be told from a new one."""

    def next_generation(self, new: NewSession) -> int:
        return 1


@planted("generations_grow_after_a_purge")
class PurgeForgetsGenerations(ModelStore):
    """Counts generations from the records that are still there, so a purged slot starts again at 1."""

    def next_generation(self, new: NewSession) -> int:
        mine = [e.record for e in self.entries.values() if self.slot(e.record) == self.slot(new)]
        return 1 + max((record.generation for record in mine), default=0)


@planted("get_or_create_meets_an_expired_session", "replace_of_an_expired_session_calls_it_expired")
class ForgetsToReportExpired(ModelStore):
    """Ends an expired session of the slot without saying so, or calls it replaced."""

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        return c.Opened(super().get_or_create(command).record)

    def give_way(self, holder: Entry | None, command: c.Replace) -> tuple[SessionRecord, ...]:
        return tuple(evolve(record, reason="replaced") for record in super().give_way(holder, command))


@planted("get_or_create_finds_the_active_session", "a_read_is_not_a_write")
class OverwritesOnOpening(ModelStore):
    """`get_or_create` on an existing session stores the data that it was called with."""

    def touch_if_due(self, entry: Entry, now_us: int) -> bool:
        touched = super().touch_if_due(entry, now_us)
        entry.record = evolve(entry.record, data=self._latest)
        return touched

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        self._latest = command.new.data
        return super().get_or_create(command)


@planted("get_or_create_keeps_the_token")
class HandsOutNewTokens(ModelStore):
    """`get_or_create` on an existing session takes over the token hash that it was called with."""

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        opened = super().get_or_create(command)
        entry = self.entries[opened.record.id]
        entry.record = evolve(entry.record, token_hash=command.new.token_hash)
        return evolve(opened, record=entry.record)


@planted("an_unknown_token_opens_nothing")
class AdoptsUnknownTokens(ModelStore):
    """`load` of a token that it does not know opens a session for it: whoever chose the token shares that session."""

    def load(self, command: c.Load) -> c.Loaded:
        if self.entry_of_token(command.token_hash) is None:
            for_ever = 2 * now(command)
            lifetime = Lifetime(for_ever, for_ever, for_ever, for_ever)
            self.open(NewSession("0" * 34, "-", "-", None, command.token_hash, "{}", lifetime), False, now(command))
        return super().load(command)


@planted("an_unknown_id_is_never_adopted")
class AdoptsUnknownIds(ModelStore):
    """A change of a session that it does not know makes one with that id."""

    def usable(self, session_id: str, now_us: int) -> Entry | None:
        if session_id not in self.entries:
            lifetime = Lifetime(now_us, now_us, now_us, now_us)
            self.open(NewSession(session_id, "-", "-", None, b"-", "{}", lifetime), False, now_us)
        return super().usable(session_id, now_us)
