"""Reading and changing shards: readers wait for nobody, writers for the lock of each shard that they change.

A reader notes where the journal stands, reads, and looks again: if nothing was decided or carried out meanwhile, it has
seen one instant. A writer takes its turn among the threads of this process and then the lock of the file, which
it opened for this one operation: no descriptor outlives a call, so none is ever of a folder that is gone.
"""

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, TypeVar

from attrs import define, evolve

from sessionguard.errors import StoreError, StoreUnavailableError
from sessionguard.forking import after_fork
from sessionguard.stores.file import ballast, changeset, journal
from sessionguard.stores.file.folder import Folder, lost, open_folder
from sessionguard.stores.file.journal import Header, OvertakenError
from sessionguard.stores.file.views import Desk, View
from sessionguard.stores.file.waiting import Deadline, Turns, lock_exclusively, unlock

R = TypeVar("R")

_log = logging.getLogger("sessionguard.file")

_JOURNAL_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC
# A reader that was overtaken so often asks for the lock, so that it comes to an end.
_TRIES: Final = 50

Read = Callable[[View], R]


@define(eq=False)
class LockedShard:
    """A shard whose lock this call holds, with all that was decided before carried out."""

    desk: Desk
    descriptor: int
    header: Header

    def commit(self) -> None:
        """Make what the desk has collected durable, seen by everyone and done, or leave everything as it was.

        Once it is decided it counts, whatever happens: if the disk is full now, the next one to take the lock goes on.
        """
        changes = self.desk.changes
        if not changes:
            return
        # Before anything is decided: a full disk is noticed while nothing has happened yet.
        prepared = changeset.prepare(self._folder, self.desk.shard, changes)
        try:
            self._decide(changes)
        except OSError:
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
        if self.header.boot == journal.this_boot():
            self._carry_out(journal.decided(self.descriptor, self.header), {})
            return
        changes, tail = journal.everything(self.descriptor, self.header)
        self.header = evolve(self.header, tail=tail)
        changeset.apply(self._folder, self.desk.shard, changes)
        self._begin_anew(changes)

    def _decide(self, changes: changeset.Changes) -> None:
        try:
            decided = journal.append(self.descriptor, self.header, changes)
        except OSError:
            if self.header.tail == journal.START:
                raise
            # A full disk: what the journal has taken so far is room enough for more.
            self._begin_anew(keep_prepared=True)
            decided = journal.append(self.descriptor, self.header, changes)
        self.header = journal.write_header(self.descriptor, decided)

    def _carry_out(self, changes: changeset.Changes, prepared: Mapping[str, str]) -> None:
        changeset.apply(self._folder, self.desk.shard, changes, prepared)
        self.header = journal.write_header(self.descriptor, evolve(self.header, applied=self.header.tail))
        if self.header.tail > journal.LIMIT_BYTES or self.header.boot == journal.UNKNOWN_BOOT:
            self._begin_anew()

    def _begin_anew(self, changes: changeset.Changes | None = None, *, keep_prepared: bool = False) -> None:
        if changes is None:
            changes = journal.carried_out(self.descriptor, self.header)
        # First the files, then the journal that could restore them.
        changeset.make_durable(self._folder, changes)
        self.header = journal.write_header(self.descriptor, journal.begun_anew(self.header))
        journal.give_back_room(self.descriptor)
        os.fsync(self.descriptor)
        if not keep_prepared:
            changeset.remove_leftovers(self._folder, self.desk.shard)

    @property
    def _folder(self) -> int:
        return self.desk.folder.descriptor


class Shards:
    """The shards of the folder at one path."""

    def __init__(self, path: str, patience_seconds: float) -> None:
        self.path = path
        self._patience_seconds = patience_seconds
        self._folder: Folder | None = None
        self._begin()
        after_fork(self, Shards._begin_in_child)

    def _begin(self) -> None:
        # The parent's queues may be held by threads that do not exist here.
        self._turns = Turns()
        self._locked: set[int] = set()

    def _begin_in_child(self) -> None:
        # Closed, not unlocked: the lock is the parent's, and kept open here it would outlive the parent.
        for descriptor in list(self._locked):
            with suppress(OSError):
                os.close(descriptor)
        self._begin()

    def deadline(self) -> Deadline:
        """Give the deadline of a call that begins now."""
        return Deadline(self._patience_seconds)

    def forget(self) -> None:
        """Let the folder go; it is opened anew when it is needed."""
        self._folder = None

    @property
    def folder(self) -> Folder:
        """The folder that is at the path now.

        Raises:
            StoreUnavailableError: it is another than before; told once.
        """
        folder = self._folder
        if folder is None:
            folder = self._folder = open_folder(self.path, self.deadline())
            self._settle_all(folder)
            ballast.keep(folder)
        elif not folder.is_in_place():
            raise self._lost(folder)
        return folder

    def _settle_all(self, folder: Folder) -> None:
        """Carry out what was decided by those who died since; what a living one is about to do is left to it."""
        for shard in folder.journals():
            # A shard that cannot be read is told to whoever asks for it.
            with suppress(StoreError, OSError):
                if not _is_settled(folder, shard):
                    with self._lock(folder, shard, "open", Deadline(0)):
                        pass

    def opened_folder(self) -> Folder | None:
        """Give the folder if it is open and in place; opens and waits for nothing."""
        folder = self._folder
        return folder if folder is not None and folder.is_in_place() else None

    # Reading

    def read(self, shard: str, work: Read[R]) -> R:
        """Give what `work` sees of the shard at one instant."""
        folder = self.folder
        for _ in range(_TRIES):
            found = self._try_to_read(folder, shard, work)
            if found is not None:
                return found[0]
        with self.changing("read", {shard}) as locked:
            return work(locked[shard].desk)

    def read_at_once(self, shard: str, work: Read[R]) -> R | None:
        """Give the same, or None if that would take more than a look."""
        folder = self.opened_folder()
        found = None if folder is None else self._try_to_read(folder, shard, work)
        return None if found is None else found[0]

    def _try_to_read(self, folder: Folder, shard: str, work: Read[R]) -> tuple[R] | None:
        # First: while we look, another thread may be the first to meet the shard.
        known = folder.known.get(shard)
        try:
            descriptor = os.open(f"{shard}/journal", os.O_RDONLY | _JOURNAL_FLAGS, dir_fd=folder.descriptor)
        except FileNotFoundError:
            self._check(folder, shard, known, None)
            return _try_to_read_nothing(folder, shard, work)
        try:
            header = journal.read_header(descriptor)
            self._check(folder, shard, known, header)
            if header is not None and header.boot != journal.this_boot():
                return None
            # Without a header it is being made, and nothing was decided yet.
            decided = {} if header is None or header.is_settled else journal.decided(descriptor, header)
            result = work(View(folder, shard, decided))
            return (result,) if journal.read_header(descriptor) == header else None
        except OvertakenError:
            return None
        finally:
            os.close(descriptor)

    def _check(self, folder: Folder, shard: str, known: bytes | None, header: Header | None) -> None:
        if known is None and header is not None:
            folder.known[shard] = header.identity
        elif known != (None if header is None else header.identity):
            raise self._lost(folder)

    def _lost(self, folder: Folder) -> StoreUnavailableError:
        if self._folder is folder:
            self._folder = None
            _log.error("%s: the folder was replaced or removed while it was in use", self.path)
        return lost(self.path)

    # Changing

    @contextmanager
    def changing(
        self, operation: str, shards: Collection[str], deadline: Deadline | None = None
    ) -> Iterator[Mapping[str, LockedShard]]:
        """Lock `shards`, always in one order, and give them. Whatever is not committed is as if it had not been.

        Raises:
            StoreTimeoutError: others kept one of them locked for the whole time; nothing was done.
        """
        deadline = deadline or self.deadline()
        folder = self.folder
        with ExitStack() as stack:
            yield {
                shard: stack.enter_context(self._lock(folder, shard, operation, deadline)) for shard in sorted(shards)
            }

    @contextmanager
    def _lock(self, folder: Folder, shard: str, operation: str, deadline: Deadline) -> Iterator[LockedShard]:
        # A signal handler may raise at any line: what is to be undone is noted before it is done.
        turns, place, opened = self._turns, threading.Lock(), list[int]()
        try:
            turns.take(shard, place, operation, deadline)
            self._open_and_lock(folder, shard, opened, operation, deadline)
            locked = LockedShard(Desk(folder, shard), opened[0], self._prepared(folder, shard, opened[0]))
            locked.settle()
            yield locked
        finally:
            # Here and not in a function, at whose first line a handler could raise.
            interruption = None
            while True:
                try:
                    self._unlock(opened)
                    turns.leave(shard, place)
                    break
                except BaseException as error:
                    interruption = error
            if interruption is not None:
                raise interruption

    def _open_and_lock(self, folder: Folder, shard: str, opened: list[int], operation: str, deadline: Deadline) -> None:
        path = f"{shard}/journal"
        while True:
            opened.append(_open_journal(folder, path))
            self._locked.add(opened[0])
            lock_exclusively(opened[0], operation, deadline)
            # Someone may have removed or replaced it while we waited: then others lock another file.
            if _is_at(folder, path, opened[0]):
                return
            self._unlock(opened)

    def _unlock(self, opened: list[int]) -> None:
        # In this order, so that it can be gone through again after an interruption anywhere.
        while opened:
            unlock(opened[-1])
            self._locked.discard(opened[-1])
            os.close(opened.pop())

    def _prepared(self, folder: Folder, shard: str, descriptor: int) -> Header:
        header = journal.read_header(descriptor)
        self._check(folder, shard, folder.known.get(shard), header)
        if header is None:
            header = journal.write_header(descriptor, journal.new_header())
            os.fsync(descriptor)
            changeset.make_durable(folder.descriptor, {f"{shard}/journal": changeset.GONE})
            folder.known[shard] = header.identity
        return header


def _try_to_read_nothing(folder: Folder, shard: str, work: Read[R]) -> tuple[R] | None:
    result = work(View(folder, shard, {}))
    try:
        os.stat(f"{shard}/journal", dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return (result,)
    return None


def _is_settled(folder: Folder, shard: str) -> bool:
    try:
        descriptor = os.open(f"{shard}/journal", os.O_RDONLY | _JOURNAL_FLAGS, dir_fd=folder.descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return True
    try:
        header = journal.read_header(descriptor)
    finally:
        os.close(descriptor)
    return header is None or header.is_settled


def _open_journal(folder: Folder, path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | _JOURNAL_FLAGS
    try:
        return os.open(path, flags, 0o600, dir_fd=folder.descriptor)
    except FileNotFoundError:
        changeset.make_parents(folder.descriptor, path)
        return os.open(path, flags, 0o600, dir_fd=folder.descriptor)


def _is_at(folder: Folder, path: str, descriptor: int) -> bool:
    held = os.fstat(descriptor)
    try:
        found = os.stat(path, dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return held.st_nlink > 0 and (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)
