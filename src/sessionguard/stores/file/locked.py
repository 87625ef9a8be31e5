"""A shard that is locked: what was decided before is carried out, then what this call decides, whole or not at all."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from attrs import define, evolve, field

from sessionguard import booting
from sessionguard.core.points import Part, point
from sessionguard.errors import MisuseError, StoreDataError
from sessionguard.stores.file import changeset, journal
from sessionguard.stores.file.journal import Header, OvertakenError
from sessionguard.stores.file.views import Desk

_log = logging.getLogger("sessionguard.file")


@define(eq=False)
class LockedShard:
    """A shard whose lock this call holds, with all that was decided before carried out."""

    desk: Desk
    descriptor: int
    header: Header
    pid: int = field(factory=os.getpid)

    def commit(self) -> None:
        """Make what the desk has collected durable, seen by everyone and done, or leave everything as it was.

        Once it is decided it counts, whatever happens: if the disk is full now, the next one to take the lock goes on.
        """
        changes = self.desk.changes
        if not changes:
            return
        if self.pid != os.getpid():
            raise forked_in_a_call()
        point("prepare", self._unseen, "w")
        # Before anything is decided: a full disk is noticed while nothing has happened yet.
        prepared = changeset.prepare(self._folder, self.desk.shard, changes)
        try:
            self._decide(changes)
        except (OSError, StoreDataError):
            changeset.discard(self._folder, prepared.values())
            raise
        try:
            self._carry_out(changes, prepared)
        except OSError as error:
            _log.warning("%s: a decided change waits for the next writer: %s", self.desk.folder.path, error)

    def settle(self) -> None:
        """Carry out what the last holder of the lock had decided, or what a stop of the machine may have undone."""
        if self.header.is_settled:
            return
        with _told_as_damage():
            if self.header.boot == booting.this_boot():
                self._carry_out(journal.decided(self.descriptor, self.header), {})
                return
            changes, tail = journal.everything(self.descriptor, self.header)
        self.header = evolve(self.header, tail=tail)
        changeset.apply(self._folder, self.desk.shard, changes, {}, self.desk.folder.path)
        self._begin_anew(changes)

    def _decide(self, changes: changeset.Changes) -> None:
        point("append", self._unseen, "w")
        try:
            decided = journal.append(self.descriptor, self.header, changes)
        except OSError:
            if self.header.tail == journal.START:
                raise
            # A full disk: what the journal has taken so far is room enough for more.
            self._begin_anew(keep_prepared=True)
            decided = journal.append(self.descriptor, self.header, changes)
        point("decide", self._part, "w")
        self.header = journal.write_header(self.descriptor, decided)

    def _carry_out(self, changes: changeset.Changes, prepared: Mapping[str, str]) -> None:
        changeset.apply(self._folder, self.desk.shard, changes, prepared, self.desk.folder.path)
        point("settle", self._part, "w")
        self.header = journal.write_header(self.descriptor, evolve(self.header, applied=self.header.tail))
        if self.header.tail > journal.LIMIT_BYTES or self.header.boot == booting.UNKNOWN_BOOT:
            try:
                self._begin_anew()
            except StoreDataError as error:
                # What was asked for is done; this is for whoever looks after the store.
                _log.error("%s: shard %s: %s", self.desk.folder.path, self.desk.shard, error)

    # Without points: it is due now and then, after writes that another test made, so no schedule could be repeated.
    def _begin_anew(self, changes: changeset.Changes | None = None, *, keep_prepared: bool = False) -> None:
        if changes is None:
            with _told_as_damage():
                changes = journal.carried_out(self.descriptor, self.header)
        # First the files, then the journal that could restore them.
        changeset.make_durable(self._folder, changes)
        self.header = journal.write_header(self.descriptor, journal.begun_anew(self.header))
        os.fsync(self.descriptor)
        # Only then: a former header that came back after a stop of the machine would name entries that are cut off.
        journal.give_back_room(self.descriptor)
        if not keep_prepared:
            changeset.remove_leftovers(self._folder, self.desk.shard)

    @property
    def _folder(self) -> int:
        return self.desk.folder.descriptor

    @property
    def _part(self) -> Part:
        """What readers see."""
        return Part(self.desk.folder.path, self.desk.shard)

    @property
    def _unseen(self) -> Part:
        """What only who holds the lock sees."""
        return Part(f"what nobody reads in {self.desk.folder.path}", self.desk.shard)


@contextmanager
def _told_as_damage() -> Iterator[None]:
    # Nobody begins a journal anew while its lock is held, so what its header names must be there.
    try:
        yield
    except OvertakenError as error:
        raise journal.damaged() from error


def forked_in_a_call() -> MisuseError:
    """Give the error for a child that a signal handler forked while its parent held a lock."""
    return MisuseError("this process was forked in the middle of a call, which its parent goes on with")
