"""Eight seeded races, M1 to M8, each with its fixed twin: what the scheduler must find, and what it must leave alone.

Every access to what others reach, too, is declared; what lies between two points is one step. The checks say what
callers must never see, so they hold with any of the workers left out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from attrs import field, frozen

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Scenario

KEY = "alice"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a declared lock for the block."""
    point("lock", name, "acq")
    try:
        yield
    finally:
        point("unlock", name, "rel")


def results(history: History, name: str) -> list[Any]:
    """Give what all calls of an operation returned."""
    return [operation.result for operation in history.operations if operation.name == name]


def check_then_insert(s: Scenario, is_fixed: bool) -> None:
    """M1: get_or_create looks first and inserts afterwards, so two callers get two sessions."""
    rows: dict[str, str] = {}

    def get_or_create(me: str) -> None:
        with s.history.record(me, "get_or_create", key=KEY) as op:
            if is_fixed:
                point("INSERT OR IGNORE", KEY, "w")
                op.ok(rows.setdefault(KEY, me))
                return
            point("SELECT", KEY, "r")
            if KEY not in rows:
                point("INSERT", KEY, "w")
                rows[KEY] = me
            op.ok(rows[KEY])

    def one_session(history: History) -> None:
        assert len(set(results(history, "get_or_create"))) <= 1

    for name in ("a", "b"):
        s.worker(name, partial(get_or_create, name))
    s.check(one_session)


def lost_update(s: Scenario, is_fixed: bool) -> None:
    """M2: a counter is read, and written back one higher, so one of two updates is lost."""
    rows = {KEY: 0}

    def increment(me: str) -> None:
        with s.history.record(me, "increment", key=KEY) as op:
            if is_fixed:
                point("UPDATE n = n + 1", KEY, "w")
                rows[KEY] += 1
                op.ok(rows[KEY])
                return
            point("SELECT", KEY, "r")
            read = rows[KEY]
            point("UPDATE", KEY, "w")
            rows[KEY] = read + 1
            op.ok(read + 1)

    for name in ("a", "b"):
        s.worker(name, partial(increment, name))
    s.check(every_update_counts)


def every_update_counts(history: History) -> None:
    """Each increment gives another number."""
    numbers = results(history, "increment")
    assert len(set(numbers)) == len(numbers)


def sweep_on_stale_read(s: Scenario, is_fixed: bool) -> None:
    """M3: a sweep decides by what it read, and deletes a session that was touched since."""
    expires = {KEY: 10}
    now = 20

    def sweep() -> None:
        with s.history.record("sweeper", "sweep") as op:
            if not is_fixed:
                point("SELECT expired", KEY, "r")
                if expires.get(KEY, now) >= now:
                    op.ok(0)
                    return
            point("DELETE", KEY, "w")
            if not is_fixed or expires.get(KEY, now) < now:
                expires.pop(KEY, None)
            op.ok(1)

    def touch() -> None:
        with s.history.record("toucher", "touch", key=KEY) as op:
            point("UPDATE expires", KEY, "w")
            if KEY in expires:
                expires[KEY] = 30
            op.ok(KEY in expires)

    def touched_stays(history: History) -> None:
        assert KEY in expires or True not in results(history, "touch")

    s.worker("sweeper", sweep)
    s.worker("toucher", touch)
    s.check(touched_stays)


def finish_before_publish(s: Scenario, is_fixed: bool) -> None:
    """M4: an upload is marked as finished before the index knows it."""
    finished: set[str] = set()
    index: set[str] = set()

    def publish() -> None:
        point("index", "index", "w")
        index.add(KEY)

    def finish() -> None:
        if is_fixed:
            publish()
        point("mark", "status", "w")
        finished.add(KEY)
        if not is_fixed:
            publish()

    def look() -> None:
        with s.history.record("reader", "look", key=KEY) as op:
            point("status", "status", "r")
            is_finished = KEY in finished
            point("find", "index", "r")
            op.ok((is_finished, KEY in index))

    def finished_is_found(history: History) -> None:
        assert (True, False) not in results(history, "look")

    s.worker("finisher", finish)
    s.worker("reader", look)
    s.check(finished_is_found)


def lock_released_early(s: Scenario, is_fixed: bool) -> None:
    """M5: a counter is read under a lock, but written back after it was released."""
    rows = {KEY: 0}

    def write(read: int) -> None:
        point("UPDATE", KEY, "w")
        rows[KEY] = read + 1

    def increment(me: str) -> None:
        with s.history.record(me, "increment", key=KEY) as op:
            with locked("lock of alice"):
                point("SELECT", KEY, "r")
                read = rows[KEY]
                if is_fixed:
                    write(read)
            if not is_fixed:
                write(read)
            op.ok(read + 1)

    for name in ("a", "b", "c"):
        s.worker(name, partial(increment, name))
    s.check(every_update_counts)


def version_restarts(s: Scenario, is_fixed: bool) -> None:
    """M6: versions begin at 1 again after a session was ended, so a save meant for the old one changes the new one."""
    rows = {KEY: ("old", 1)}
    last = {KEY: 1}

    def save() -> None:
        point("load", KEY, "r")
        if KEY not in rows:
            return
        session, version = rows[KEY]
        with s.history.record("saver", "save", session=session, version=version) as op:
            point("compare and set", KEY, "w")
            if rows.get(KEY, ("", 0))[1] != version:
                op.ok(None)
                return
            last[KEY] = version + 1
            rows[KEY] = (rows[KEY][0], last[KEY])
            op.ok(rows[KEY][0])

    def end() -> None:
        point("end", KEY, "w")
        rows.pop(KEY, None)

    def create() -> None:
        point("create", KEY, "w")
        if KEY not in rows:
            last[KEY] = last[KEY] + 1 if is_fixed else 1
            rows[KEY] = ("new", last[KEY])

    def saves_hit_what_was_loaded(history: History) -> None:
        for operation in history.operations:
            assert operation.result in (None, operation.args["session"])

    s.worker("saver", save)
    s.worker("ender", end)
    s.worker("creator", create)
    s.check(saves_hit_what_was_loaded)


def torn_file(s: Scenario, is_fixed: bool) -> None:
    """M7: a file is written in place, piece by piece, so a reader sees half of it; four others work elsewhere."""
    files: dict[str, list[int]] = {"session": [0] * 8}

    def write() -> None:
        target = "session.tmp" if is_fixed else "session"
        files.setdefault(target, [0] * 8)
        for place in range(8):
            point("write", target, "w")
            files[target][place] = 1
        if is_fixed:
            point("replace", "session", "w")
            files["session"] = files.pop(target)

    def read() -> None:
        with s.history.record("reader", "read") as op:
            point("read", "session", "r")
            op.ok(tuple(files["session"]))

    def decoy(name: str) -> None:
        for _ in range(12):
            point("read", name, "r")

    def files_are_whole(history: History) -> None:
        assert all(len(set(read)) == 1 for read in results(history, "read"))

    s.worker("writer", write)
    s.worker("reader", read)
    for number in range(4):
        s.worker(f"decoy {number}", partial(decoy, f"file {number}"))
    s.check(files_are_whole)


@frozen
class _Cache:
    """A cache whose entries live for ten seconds, with the number of times it was emptied."""

    entries: dict[str, int] = field(factory=dict)
    emptied: list[None] = field(factory=list)


def stale_refill(s: Scenario, is_fixed: bool) -> None:
    """M8: a load that missed the cache puts back what it read, though the session was ended in the meantime."""
    rows = {KEY}
    cache = _Cache({KEY: s.clock.us() + 10_000_000})

    def load(me: str) -> None:
        with s.history.record(me, "load", key=KEY) as op:
            now = s.clock.us()
            point("cache get", "cache", "r")
            emptied = len(cache.emptied)
            if cache.entries.get(KEY, 0) > now:
                op.ok(True)
                return
            point("SELECT", KEY, "r")
            is_there = KEY in rows
            point("cache put", "cache", "w")
            if is_there and (not is_fixed or len(cache.emptied) == emptied):
                cache.entries[KEY] = now + 10_000_000
            op.ok(is_there)

    def end() -> None:
        with s.history.record("ender", "end", key=KEY) as op:
            point("DELETE", KEY, "w")
            rows.discard(KEY)
            point("cache drop", "cache", "w")
            cache.entries.pop(KEY, None)
            cache.emptied.append(None)
            op.ok()

    def ended_stays_ended(history: History) -> None:
        ends = [operation.ret for operation in history.operations if operation.name == "end" and operation.ret]
        for operation in history.operations:
            is_late = any(operation.call > end for end in ends)
            assert not (operation.name == "load" and operation.result is True and is_late)

    s.clock_actor([30.0])
    s.worker("loader", lambda: load("loader"))
    s.worker("ender", end, lambda: load("ender"))
    s.check(ended_stays_ended)


@frozen
class Seeded:
    """One race, and what finding it may cost."""

    number: str
    build: Callable[[Scenario, bool], None]
    schedules: int
    """How many schedules source-DPOR may take to find it (harness.md, 3.3)."""

    def mutant(self, s: Scenario) -> None:
        """Set the race up."""
        self.build(s, False)

    def twin(self, s: Scenario) -> None:
        """Set the same up, done right."""
        self.build(s, True)


SEEDED = [
    Seeded("M1", check_then_insert, 2),
    Seeded("M2", lost_update, 2),
    Seeded("M3", sweep_on_stale_read, 2),
    Seeded("M4", finish_before_publish, 2),
    Seeded("M5", lock_released_early, 2),
    Seeded("M6", version_restarts, 4),
    Seeded("M7", torn_file, 2),
    Seeded("M8", stale_refill, 4),
]
