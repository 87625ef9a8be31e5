"""What the child processes of these tests do; kept apart from the tests, so that a child imports little."""

import itertools
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from attrs import frozen

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.errors import StoreError
from sessionguard.stores.file import FileStore, changeset
from sessionguard.testing.contracts.stage import Stage


def guard_on(path: str, **options: Any) -> SessionGuard:
    """Give a guard without background work over the folder at `path`."""
    return SessionGuard(FileStore(path, **options), sweep_interval=None)


@frozen
class Acknowledged:
    """One change whose call had returned: the session, who it belongs to and the number it was given to keep."""

    session_id: str
    owner: str
    number: int


def write_and_acknowledge(acknowledge: Callable[[Acknowledged], object], path: str, owner: str) -> None:
    """Open, save and replace without end, and tell of every change as soon as its call has returned."""
    guard = guard_on(path)
    for number in itertools.count():
        session = guard.get_or_create(owner) if number % 5 else guard.replace(owner)
        guard.save(session, {"number": number})
        acknowledge(Acknowledged(session.id, owner, number))


def stand_in_the_lock(pipe: Connection, path: str, shard: str) -> None:
    """Hold the lock of a shard, say so, and go on at a message."""
    store = FileStore(path)
    with store._shards.changing("stand", {shard}):
        pipe.send("inside")
        pipe.recv()
    pipe.send("outside")
    pipe.recv()


def stand_half_way(pipe: Connection, path: str, command: c.Command[Any], steps: int) -> None:
    """Play a command, and stop for a message when so many of its files are replaced; then go on."""
    plain, done = changeset.apply, list[str]()

    def apply(folder: int, shard: str, changes: changeset.Changes, prepared: Mapping[str, str], place: str) -> None:
        for path, change in changes.items():
            if len(done) == steps:
                pipe.send("half-way")
                pipe.recv()
            done.append(path)
            plain(folder, shard, {path: change}, prepared, place)

    changeset.apply = apply  # type: ignore[assignment]
    command.apply(FileStore(path))
    pipe.send("done")
    pipe.recv()


def outgrow_files(pipe: Connection, path: str) -> tuple[StoreError, int, int]:
    """Write until no file of this process may be as large, then without limit.

    Gives the error, how many were stored, and how many of those could be read when nothing could be written.
    """
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    opened = store.create(stage.create()).record
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, unlimited[1]))
    failure, known = None, [opened]
    try:
        for number in range(100):
            known.append(store.create(stage.create(f"owner {number}", data={"text": "x" * 1000})).record)
            store.save(stage.save(known[-1], {"text": "x" * 5000}))
    except StoreError as error:
        failure = error
    assert failure is not None
    intact = sum(store.get(stage.get(record)) is not None for record in known)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    store.save(stage.save(known[-1], {"text": "x" * 5000}))
    return failure, len(known), intact


def run_out_of_descriptors(pipe: Connection, path: str) -> tuple[list[StoreError], bool]:
    """Read and write with no descriptor left, then with some; gives what was raised, and whether all went on."""
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    opened = store.create(stage.create()).record
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held, errors = [], list[StoreError]()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for command in (stage.load(opened), stage.get(opened), stage.save(opened, {"n": 1}), stage.page()):
        try:
            command.apply(store)
        except StoreError as error:
            errors.append(error)
    for descriptor in held:
        os.close(descriptor)
    return errors, store.save(stage.save(opened, {"n": 2})).record is not None


class Interrupted(BaseException):
    """What the signal handler of `be_interrupted` raises."""


@frozen
class Aftermath:
    """How many calls were interrupted, what else they raised, and what is left of them."""

    interrupted: int
    failures: list[str]
    queues: int
    locks_free: bool
    version: int | None


def be_interrupted(pipe: Connection, path: str, seconds: float) -> Aftermath:
    """Save, open and load for so long, while a signal handler raises at random instants; then use the store as ever."""
    guard = guard_on(path, patience_seconds=2.0)
    session = guard.get_or_create("ana")
    interrupted, failures = 0, list[str]()
    signal.signal(signal.SIGALRM, _interrupt)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.005))
                guard.load(session.token)
                guard.save(session, {"a": interrupted})
                guard.replace("bea")
                guard.end_owner("bea")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            interrupted += 1
        except StoreError as error:
            failures.append(str(error))
    store = guard._store
    assert isinstance(store, FileStore)
    # Another store, with little patience: a lock that was left behind would keep it out.
    hasty = guard_on(path, patience_seconds=0.2)
    locks_free = all(hasty.replace(owner).id for owner in ("bea", "cy")) and hasty.sweep().ended == 0
    saved = hasty.save(session, {"b": 1})
    return Aftermath(interrupted, failures, len(store._shards._turns._queues), locks_free, saved.version)


def _interrupt(signal_number: int, frame: object) -> None:
    raise Interrupted
