"""Planted bugs in finding the sessions of an owner, and those of a token, in more than one shard."""

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of, shard_tag
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry
from sessionguard.testing.mutants.planting import planted


class _Sharded(ModelStore):
    def is_at_home(self, record: SessionRecord) -> bool:
        """Tell whether the session is in the shard of its owner."""
        return shard_of(record.id) == shard_tag(self.deployment_id, record.owner)


@planted(
    "end_owner_ends_who_was_anonymous_before",
    "end_owner_keeps_one_that_was_anonymous_before",
    "logins_meet_end_owner",
)
class EndsInOneShard(_Sharded):
    """`end_owner` looks into the shard of the owner alone, so who logged in as a visitor stays logged in."""

    def is_meant(self, record: SessionRecord, command: c.EndOwner) -> bool:
        return self.is_at_home(record) and super().is_meant(record, command)


@planted("the_list_of_an_owner_has_who_was_anonymous_before")
class ListsOneShard(_Sharded):
    """Lists of an owner what is in the owner's shard."""

    def page(self, command: c.Page) -> c.PageOfRecords:
        page = super().page(command)
        if command.owner is None:
            return page
        return evolve(page, records=tuple(record for record in page.records if self.is_at_home(record)))


@planted("the_list_of_an_owner_has_who_was_anonymous_before")
class ListsShardAfterShard(_Sharded):
    """Lists what the owner received after what was opened for the owner, instead of by age across both."""

    def page(self, command: c.Page) -> c.PageOfRecords:
        page = super().page(command)
        if command.owner is None:
            return page
        return evolve(page, records=tuple(sorted(page.records, key=lambda record: not self.is_at_home(record))))


@planted("a_rotated_token_leads_to_its_session_after_login")
class LooksInTheShardOfTheOwner(_Sharded):
    """Looks for a token where its owner's sessions are, which is not where a received session is."""

    def entry_of_token(self, token_hash: bytes) -> Entry | None:
        entry = super().entry_of_token(token_hash)
        return entry if entry is not None and self.is_at_home(entry.record) else None


@planted("the_former_owner_has_nothing_to_do_with_it")
class KeepsTheFormerOwner(ModelStore):
    """Goes on finding a session by the owner it had when it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self._openers: dict[str, str] = {}

    def rotated(self, record: SessionRecord, command: c.Rotate) -> SessionRecord:
        self._openers.setdefault(record.id, record.owner)
        return super().rotated(record, command)

    def is_meant(self, record: SessionRecord, command: c.EndOwner) -> bool:
        opener = self._openers.get(record.id)
        return super().is_meant(evolve(record, owner=command.owner) if opener == command.owner else record, command)
