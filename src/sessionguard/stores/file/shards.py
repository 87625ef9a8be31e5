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

from attrs import define

from sessionguard import booting
from sessionguard.core.points import Part, point
from sessionguard.errors import StoreError, StoreUnavailableError
from sessionguard.forking import after_fork
from sessionguard.stores.deadline import Deadline
from sessionguard.stores.file import ballast, changeset, journal
from sessionguard.stores.file.folder import Folder, lost, open_folder
from sessionguard.stores.file.journal import Header, OvertakenError
from sessionguard.stores.file.locked import LockedShard, forked_in_a_call
from sessionguard.stores.file.views import Desk, View
from sessionguard.stores.file.waiting import Turns, lock_exclusively, unlock

R = TypeVar("R")

# Held from before a journal is opened until its descriptor is noted, and while a process forks: the child knows all
# that it inherits. It knows its thread, for a signal handler may fork in between.
_opening: Final = threading.RLock()
os.register_at_fork(before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_opening.release)

_log = logging.getLogger("sessionguard.file")

_JOURNAL_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC
# A reader that was overtaken so often asks for the lock, so that it comes to an end.
_TRIES: Final = 50

Read = Callable[[View], R]


@define(eq=False)
class _Locking:
    """A call as it locks one shard: its thread, its folder, and the descriptors that it has open of the journal."""

    thread: int
    folder: Folder
    opened: list[int]


class Shards:
    """The shards of the folder at one path."""

    def __init__(self, path: str, patience_seconds: float) -> None:
        self.path = path
        self._patience_seconds = patience_seconds
        self._folder: Folder | None = None
        self._turns = Turns()
        self._locking: dict[threading.Lock, _Locking] = {}
        """By its place in the queue, what locks a shard now."""
        after_fork(self, Shards._begin_in_child)

    def _begin_in_child(self) -> None:
        # Not unlocked: the locks are the parent's, and kept open here they would outlive it.
        for locking in self._locking.values():
            if locking.thread == threading.get_ident():
                self._seal(locking)
            else:
                _close(locking.opened)
        self._locking.clear()
        self._turns.begin()

    def _seal(self, locking: "_Locking") -> None:
        """Have the call in which a signal handler forked reach nothing here: its parent goes on with it."""
        folder = locking.folder
        try:
            if self._folder is folder:
                self._folder = folder.twin()
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for descriptor in (*locking.opened, folder.descriptor):
                os.dup2(nothing, descriptor, inheritable=False)
            os.close(nothing)
        except OSError:
            _close(locking.opened)
            self._folder = None

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
        part = Part(folder.path, shard)
        point("look at the journal", part, "r")
        # First: while we look, another thread may be the first to meet the shard.
        known = folder.known.get(shard)
        try:
            descriptor = os.open(f"{shard}/journal", os.O_RDONLY | _JOURNAL_FLAGS, dir_fd=folder.descriptor)
        except FileNotFoundError:
            self._check(folder, shard, known, None)
            return _try_to_read_nothing(folder, part, work)
        try:
            header = journal.read_header(descriptor)
            self._check(folder, shard, known, header)
            if header is not None and header.boot != booting.this_boot():
                return None
            # Without a header it is being made, and nothing was decided yet.
            decided = {} if header is None or header.is_settled else journal.decided(descriptor, header)
            point("read", part, "r")
            result = work(View(folder, shard, decided))
            point("look again", part, "r")
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
        locked: dict[str, LockedShard] = {}
        with ExitStack() as stack:
            for shard in sorted(shards):
                lock = Part(f"locks in {folder.path}", shard)
                point("lock", lock, "acq")
                stack.callback(point, "unlock", lock, "rel")
                locked[shard] = stack.enter_context(self._lock(folder, shard, operation, deadline))
            yield locked

    @contextmanager
    def _lock(self, folder: Folder, shard: str, operation: str, deadline: Deadline) -> Iterator[LockedShard]:
        # A signal handler may raise at any line: what is to be undone is noted before it is done.
        pid, turns, place, opened = os.getpid(), self._turns, threading.Lock(), list[int]()
        try:
            self._locking[place] = _Locking(threading.get_ident(), folder, opened)
            turns.take(shard, place, operation, deadline)
            self._open_and_lock(folder, shard, opened, operation, deadline)
            locked = LockedShard(Desk(folder, shard), opened[0], self._prepared(folder, shard, opened[0]))
            locked.settle()
            yield locked
            if pid != os.getpid():
                raise forked_in_a_call()
        except Exception as error:
            if pid == os.getpid():
                raise
            raise forked_in_a_call() from error
        finally:
            # Here and not in a function, at whose first line a handler could raise.
            interruption = None
            while True:
                try:
                    if pid == os.getpid():
                        _unlock(opened)
                        turns.leave(shard, place)
                    else:
                        _close(opened)
                    self._locking.pop(place, None)
                    break
                except BaseException as error:
                    interruption = error
            if interruption is not None:
                raise interruption

    def _open_and_lock(self, folder: Folder, shard: str, opened: list[int], operation: str, deadline: Deadline) -> None:
        path = f"{shard}/journal"
        while True:
            with _opening:
                opened.append(_open_journal(folder, path))
            lock_exclusively(opened[0], operation, deadline)
            # Someone may have removed or replaced it while we waited: then others lock another file.
            if _is_at(folder, path, opened[0]):
                return
            _unlock(opened)

    def _prepared(self, folder: Folder, shard: str, descriptor: int) -> Header:
        header = journal.read_header(descriptor)
        self._check(folder, shard, folder.known.get(shard), header)
        if header is None:
            header = journal.write_header(descriptor, journal.new_header())
            os.fsync(descriptor)
            changeset.make_durable(folder.descriptor, {f"{shard}/journal": changeset.GONE})
            folder.known[shard] = header.identity
        return header


def _try_to_read_nothing(folder: Folder, part: Part, work: Read[R]) -> tuple[R] | None:
    point("read", part, "r")
    result = work(View(folder, part.name, {}))
    point("look again", part, "r")
    try:
        os.stat(f"{part.name}/journal", dir_fd=folder.descriptor, follow_symlinks=False)
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


def _unlock(opened: list[int]) -> None:
    # In this order, so that it can be gone through again after an interruption anywhere.
    while opened:
        try:
            unlock(opened[-1])
        except OSError as error:
            # Someone closed what is not theirs. There is nothing to be done about it again.
            _log.error("a lock cannot be given back: %s", error)
        os.close(opened.pop())


def _close(opened: list[int]) -> None:
    while opened:
        with suppress(OSError):
            os.close(opened.pop())


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
