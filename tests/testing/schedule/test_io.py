"""The io engine: code that declares no points is stopped where it reaches for files, databases and Redis."""

import fcntl
import io
import os
import sqlite3
import threading
import time
import types
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import redis.asyncio

from sessionguard.core import points
from sessionguard.errors import MisuseError
from sessionguard.testing.history import History
from sessionguard.testing.mutants.table import slots_on_disk as disk
from sessionguard.testing.mutants.table import slots_on_redis as in_redis
from sessionguard.testing.mutants.table.slots import first_requests
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Scenario
from sessionguard.testing.servers import PostgresServer, RedisServer

SEARCH = Interleaver(io=True, budget=Budget(schedules=400, seconds=2.0))
REAL = (open, io.open, os.open, os.stat, os.rename, os.unlink, fcntl.flock, time.sleep, sqlite3.connect)
METHODS = (psycopg.Cursor.execute, psycopg.AsyncCursor.execute, psycopg.Connection.commit)


@pytest.fixture(autouse=True)
def unannounced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The services of the table of mutants, without the points that they declare."""
    for module in (disk, in_redis):
        monkeypatch.setattr(module, "point", lambda label, resource, mode: None)


def raced(make: Callable[[Path], Any], folder: Path) -> Outcome:
    """Give what the search says of a service that opens sessions for slots."""
    make(folder).clear()
    return SEARCH.run(partial(in_an_empty_folder, make=make, folder=folder))


def in_an_empty_folder(s: Scenario, make: Any, folder: Path) -> None:
    """Leave no lock file of the last schedule, so that each begins alike."""
    for lock in folder.glob("*.lock"):
        lock.unlink()
    first_requests(s, make, folder)


def require_found(outcome: Outcome, make: Any, folder: Path, *labels: str) -> None:
    """A race was found with one interruption, its report names what was done, and its id brings it back each time."""
    failure = outcome.failure
    assert failure is not None, outcome.describe()
    assert failure.minimal.preemptions == 1
    assert all(label in failure.render() for label in labels), failure.render()
    for _ in range(20):
        again = SEARCH.run(partial(in_an_empty_folder, make=make, folder=folder), replay=failure.replay_id)
        assert again.failure is not None
        assert again.replay_is_faithful


def test_check_then_insert_in_sqlite_is_found(tmp_path: Path) -> None:
    """Two statements of which another caller comes between, in a table without a unique constraint."""
    outcome = raced(disk.InsertsTwice, tmp_path)
    require_found(outcome, disk.InsertsTwice, tmp_path, "SELECT sessions", "INSERT sessions")
    assert str(tmp_path) not in str(outcome.failure and outcome.failure.replay_id)


def test_exists_then_write_is_found(tmp_path: Path) -> None:
    """A file that is looked for and then written, also read when half of it is there."""
    outcome = raced(disk.WritesWhatIsNotThere, tmp_path)
    require_found(outcome, disk.WritesWhatIsNotThere, tmp_path, "stat ana.slot", "open ana.slot w")


def test_get_then_set_in_redis_is_found(tmp_path: Path, redis_server: RedisServer) -> None:
    """Two commands of which another caller comes between."""
    make = partial(in_redis.GetsThenSets, redis_server)
    require_found(raced(make, tmp_path), make, tmp_path, "GET ana", "SET ana")


@pytest.mark.parametrize(
    "make",
    [
        disk.InsertsOrIgnores,
        disk.RetriesOnIntegrityError,
        disk.LinksExclusively,
        disk.ClaimsThenRenames,
        disk.LooksUnderFlock,
        disk.LooksUnderFileLock,
    ],
)
def test_what_is_right_on_disk_is_not_accused(make: Callable[[Path], Any], tmp_path: Path) -> None:
    """Constraints, links, renames and locks of files, also one that is asked for again and again."""
    outcome = raced(make, tmp_path)
    assert outcome.ok, outcome.failure and outcome.failure.render()[:4_000]


@pytest.mark.parametrize("make", [in_redis.ComparesInLua, in_redis.WatchesAndRetries])
def test_what_is_right_in_redis_is_not_accused(make: Any, tmp_path: Path, redis_server: RedisServer) -> None:
    """A script, and a key that is watched."""
    outcome = raced(partial(make, redis_server), tmp_path)
    assert outcome.ok, outcome.failure and outcome.failure.render()[:4_000]


def one_answer(s: Scenario, answers: dict[str, str]) -> None:
    """Whoever asked got the same session."""

    def same(history: History) -> None:
        assert len(set(answers.values())) <= 1

    s.check(same)


@pytest.mark.parametrize("is_right", [False, True])
def test_tasks_are_stopped_where_they_await_redis(is_right: bool, redis_server: RedisServer, key_prefix: str) -> None:
    """On a real loop, with real sockets."""
    key = f"{key_prefix}:slot"

    async def opened(client: Any, new: str) -> str:
        if is_right:
            return str(await client.eval(in_redis._SCRIPT, 1, key, new))
        found = await client.get(key)
        if found is None:
            await client.set(key, new)
        return found or new

    def scenario(s: Scenario) -> None:
        with redis.Redis.from_url(redis_server.url) as client:
            client.delete(key)
        answers: dict[str, str] = {}

        async def ask(name: str) -> None:
            async with redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True) as client:
                answers[name] = await opened(client, name)

        for name in "ab":
            s.task(name, partial(ask, name))
        one_answer(s, answers)

    search = Interleaver(io=True, loop="asyncio", budget=Budget(schedules=30, seconds=3.0))
    failure = search.run(scenario).failure
    assert (failure is None) is is_right
    if failure is not None:
        assert "GET" in failure.render()
        assert all(search.run(scenario, replay=failure.replay_id).failure for _ in range(20))


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_check_then_insert_in_postgres_is_found(kind: str, postgres_server: PostgresServer, schema_name: str) -> None:
    """By psycopg, in threads and in tasks."""
    select = f"SELECT id FROM {schema_name}.sessions WHERE slot = %s"
    insert = f"INSERT INTO {schema_name}.sessions VALUES (%s, %s)"

    def ask(connection: psycopg.Connection[Any], answers: dict[str, str], name: str) -> None:
        found = connection.execute(select, ("ana",)).fetchone()
        if found is None:
            connection.execute(insert, ("ana", name))
        answers[name] = found[0] if found else name

    async def ask_async(answers: dict[str, str], name: str) -> None:
        async with await psycopg.AsyncConnection.connect(postgres_server.url, autocommit=True) as connection:
            found = await (await connection.execute(select, ("ana",))).fetchone()
            if found is None:
                await connection.execute(insert, ("ana", name))
            answers[name] = found[0] if found else name

    connections = [psycopg.connect(postgres_server.url, autocommit=True) for _ in "abc"]
    connections[2].execute(f"CREATE SCHEMA {schema_name}")
    connections[2].execute(f"CREATE TABLE {schema_name}.sessions (slot text, id text)")

    def scenario(s: Scenario) -> None:
        connections[2].execute(f"DELETE FROM {schema_name}.sessions")
        answers: dict[str, str] = {}
        for number, name in enumerate("ab"):
            if kind == "blocking":
                s.worker(name, partial(ask, connections[number], answers, name))
            else:
                s.task(name, partial(ask_async, answers, name))
        one_answer(s, answers)

    search = Interleaver(io=True, loop="virtual" if kind == "blocking" else "asyncio", shrink_seconds=1.0)
    failure = search.run(scenario).failure
    assert failure is not None
    assert "SELECT sessions" in failure.render()
    for connection in connections:
        connection.close()


# What SQLite would sleep for


def sqlite_service(path: Path, begin: str) -> Callable[[dict[str, str], str], None]:
    """Give a caller that looks and inserts in one transaction."""

    def ask(answers: dict[str, str], name: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(begin)
            found = connection.execute("SELECT id FROM sessions").fetchone()
            if found is None:
                connection.execute("INSERT INTO sessions VALUES (?)", (name,))
            connection.execute("COMMIT")
            answers[name] = found[0] if found else name

    return ask


def transactions(s: Scenario, path: Path, begin: str) -> None:
    """Three callers look and insert."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE IF NOT EXISTS sessions (id TEXT)")
        connection.execute("DELETE FROM sessions")
    answers: dict[str, str] = {}
    for name in "abc":
        s.worker(name, partial(sqlite_service(path, begin), answers, name))
    one_answer(s, answers)


def test_a_busy_database_is_waited_for_where_the_scheduler_sees_it(tmp_path: Path) -> None:
    """Nobody sleeps in SQLite, so hundreds of schedules take no seconds of waiting, and nobody is told that it is."""
    outcome = SEARCH.run(partial(transactions, path=tmp_path / "db", begin="BEGIN IMMEDIATE"))
    assert outcome.ok, outcome.failure and outcome.failure.render()[:4_000]
    assert outcome.schedules > 20  # One second of sleep each, and it would be two.


def test_what_sqlite_refuses_at_once_is_refused(tmp_path: Path) -> None:
    """A transaction that has read cannot write once another one waits for it: no time limit helps, so it is told."""
    failure = SEARCH.run(partial(transactions, path=tmp_path / "db", begin="BEGIN")).failure
    assert failure is not None
    assert "database is locked" in failure.verdict.message


def test_two_locks_of_files_in_two_orders_are_a_deadlock(tmp_path: Path) -> None:
    """Who waits for a lock in vain is seen, and no thread is left in the operating system."""

    def take(first: str, second: str) -> None:
        with (tmp_path / first).open("w") as one, (tmp_path / second).open("w") as other:
            fcntl.flock(one, fcntl.LOCK_EX)
            fcntl.flock(other, fcntl.LOCK_EX)

    def scenario(s: Scenario) -> None:
        s.worker("a", partial(take, "left", "right"))
        s.worker("b", partial(take, "right", "left"))

    (tmp_path / "left").touch()
    (tmp_path / "right").touch()
    failure = SEARCH.run(scenario).failure
    assert failure is not None
    assert failure.verdict.reason == "deadlock"
    assert "wait to lock right" in failure.render()


def test_who_polls_lets_others_go_on(tmp_path: Path) -> None:
    """Sleeping between looks takes no time, and two who poll do not keep the third from what they wait for."""
    flag = tmp_path / "flag"

    def poll() -> None:
        while not flag.exists():
            time.sleep(60)

    def scenario(s: Scenario) -> None:
        flag.unlink(missing_ok=True)
        s.worker("a", poll)
        s.worker("b", poll)
        s.worker("sets", flag.touch)

    began = time.monotonic()
    assert SEARCH.run(scenario).ok
    assert time.monotonic() - began < 30


# Only inside, and nothing left behind


def now() -> tuple[Any, ...]:
    """Give what is there under the names that are replaced."""
    return (open, io.open, os.open, os.stat, os.rename, os.unlink, fcntl.flock, time.sleep, sqlite3.connect)


def methods() -> tuple[Any, ...]:
    """Give the methods that are replaced."""
    return (psycopg.Cursor.execute, psycopg.AsyncCursor.execute, psycopg.Connection.commit)


@pytest.mark.parametrize("raising", ["nobody", "worker", "scenario"])
def test_all_is_put_back(raising: str, tmp_path: Path) -> None:
    """Also after an error, and in a module that took a function over by its name meanwhile."""
    late = types.ModuleType("taken_over_late")

    def scenario(s: Scenario) -> None:
        assert now() != REAL
        if raising == "scenario":
            raise LookupError

        def work() -> None:
            (tmp_path / "file").write_text("x")
            vars(late)["stat"] = os.stat
            if raising == "worker":
                raise LookupError

        s.worker("a", work)

    pytest.MonkeyPatch().setitem(__import__("sys").modules, "taken_over_late", late)
    if raising == "scenario":
        with pytest.raises(LookupError):
            SEARCH.run(scenario)
    else:
        assert SEARCH.run(scenario).ok is (raising == "nobody")
        assert vars(late)["stat"] is os.stat
    assert now() == REAL
    assert methods() == METHODS
    assert all(function.__module__ != "sessionguard.testing.schedule.io.files" for function in os.supports_fd)
    with closing(sqlite3.connect(":memory:")) as connection:
        assert type(connection) is sqlite3.Connection
    with (tmp_path / "other").open("wb", buffering=0) as file:
        assert type(file) is io.FileIO


def test_without_it_nothing_is_replaced(tmp_path: Path) -> None:
    """A search that does not ask for it finds the real functions in its workers, so it costs nothing."""
    seen: list[bool] = []

    def work() -> None:
        points.point("look", "x", "r")
        seen.append(now() == REAL)

    def scenario(s: Scenario) -> None:
        s.worker("a", work)

    assert Interleaver("serial").run(scenario).ok
    assert set(seen) == {True}


def test_only_workers_are_stopped(tmp_path: Path) -> None:
    """Setting up, checks and other threads are nobody's accesses; nor is a module that a worker imports."""
    labels: list[str] = []

    def beside() -> None:
        (tmp_path / "beside").write_text("x")

    def work() -> None:
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
        Path(__file__).stat()
        os.mkdir(tmp_path / f"tmp{os.getpid():08}")

    def scenario(s: Scenario) -> None:
        (tmp_path / "before").write_text("x")
        s.worker("a", work)

        def look(history: History) -> None:
            labels[:] = [step.point.label for step in s.steps]
            os.rmdir(tmp_path / f"tmp{os.getpid():08}")

        s.check(look)

    assert SEARCH.run(scenario).ok
    assert labels == ["mkdir *"]


def test_what_was_imported_by_name_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that says `from os import rename` is stopped there, too, and afterwards has the real one."""
    module = types.ModuleType("has_it_by_name")
    exec("from os import rename\ndef move(one, other):\n    rename(one, other)", vars(module))
    monkeypatch.setitem(__import__("sys").modules, "has_it_by_name", module)
    labels: list[str] = []

    def scenario(s: Scenario) -> None:
        (tmp_path / "a").touch()
        s.worker("a", partial(vars(module)["move"], tmp_path / "a", tmp_path / "b"))
        s.check(lambda history: labels.extend(step.point.label for step in s.steps))

    assert Interleaver("serial", io=True).run(scenario).ok
    assert set(labels) == {"rename a -> b"}
    assert vars(module)["rename"] is os.rename


def test_files_are_what_they_are_without_it(tmp_path: Path) -> None:
    """Text, bytes, both ways, unbuffered and at their end: the layers are those of `open`."""

    def work() -> None:
        path = tmp_path / "file"
        with open(path, "w", encoding="utf-8", newline="\n") as text:
            text.write("ä\nb\n")
            assert (text.mode, text.encoding, text.name) == ("w", "utf-8", path)
        with open(path, "ab") as appended:
            assert isinstance(appended, io.BufferedWriter)
            appended.write(b"c")
        with open(path, "r+b") as both:
            assert isinstance(both, io.BufferedRandom)
            assert both.read(2) == "ä".encode()
        with open(path, "rb", buffering=0) as raw:
            assert raw.readall() == "ä\nb\nc".encode()
        with open(path, encoding="utf-8") as read:
            assert list(read) == ["ä\n", "b\n", "c"]
        with pytest.raises(ValueError, match="mode"):
            Path(path).open("rw")  # noqa: SIM115
        with pytest.raises(FileExistsError):
            Path(path).open("x")  # noqa: SIM115

    def scenario(s: Scenario) -> None:
        (tmp_path / "file").unlink(missing_ok=True)
        s.worker("a", work)

    outcome = Interleaver("serial", io=True).run(scenario)
    assert outcome.ok, outcome.failure and outcome.failure.render()


def test_processes_are_refused() -> None:
    """They would be stopped at declared points only, so a search that finds nothing would show less than it says."""

    def scenario(s: Scenario) -> None:
        s.process("a", print)

    with pytest.raises(MisuseError, match="threads and tasks"):
        SEARCH.run(scenario)
