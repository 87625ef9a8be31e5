"""Behind PgBouncer, which gives every transaction another connection of the server."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreUnavailableError
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import PostgresServer
from sessionguard.testing.servers.ports import LOOPBACK, free_port
from tests.stores.postgres.asking import COMMANDS, scene
from tests.stores.postgres.conftest import OpenStore

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
SERVER_CONNECTIONS = 2


@pytest.fixture(scope="module")
def bouncer(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a PgBouncer in transaction mode before the shared server, with two connections to it."""
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed; apt-get install pgbouncer")
    port = free_port()
    role = postgres_server.url.partition("://")[2].partition("@")[0]
    with tempfile.TemporaryDirectory(prefix="bouncer-") as name:
        folder = Path(name)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={LOOPBACK} port={postgres_server.port} user={role}\n"
            f"[pgbouncer]\nlisten_addr = {LOOPBACK}\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 100\n"
        )
        user = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None
        folder.chmod(0o755)
        with subprocess.Popen([PROGRAM, "-q", str(settings)], user=user, stderr=subprocess.PIPE) as process:
            try:
                _wait_for(process, port)
                yield f"postgresql://{role}@{LOOPBACK}:{port}/{postgres_server.url.rpartition('/')[2]}"
            finally:
                process.terminate()
                process.communicate(timeout=10)


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1].decode()
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("pgbouncer did not listen in time")


def test_every_verb_behind_a_proxy(open_store: OpenStore, bouncer: str, stage: Stage) -> None:
    """With prepare=False every verb works, migrating included, and each answer is the one that was asked for."""
    store = open_store(bouncer, prepare=False)
    for make in COMMANDS.values():
        command = make(scene(store, stage))
        command.verify(command.apply(store), store.name)
    assert {found.subject for found in store.examine() if found.level == "problem"} == set()


def test_many_callers_share_few_connections(open_store: OpenStore, bouncer: str, stage: Stage) -> None:
    """Eight threads over two connections of the server: nobody gets another's answer, and no save is lost."""
    store = open_store(bouncer, prepare=False, pool_size=8)
    records = [store.create(stage.create(f"owner {n}")).record for n in range(8)]

    def work(number: int) -> None:
        mine = records[number % 8]
        assert store.load(stage.load(mine)).record is not None
        assert store.save(stage.save(mine, {f"f{number}": number})).record is not None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(80)))
    for record in records:
        stored = store.get(c.Get(record.id, stage.load(record).at))
        assert stored is not None
        assert stored.version == 11


def test_nothing_is_left_on_a_shared_connection(open_store: OpenStore, bouncer: str, stage: Stage) -> None:
    """What a transaction of ours sets is gone with it: other clients of the same proxy see the server's defaults."""
    store = open_store(bouncer, prepare=False)
    store.create(stage.create())
    with psycopg.connect(bouncer, autocommit=True, prepare_threshold=None) as other:
        for _ in range(SERVER_CONNECTIONS * 2):
            rows = other.execute(
                "SELECT current_setting('lock_timeout'), (SELECT count(*) FROM pg_prepared_statements)"
            ).fetchall()
            assert rows == [("0", 0)]


def test_settings_of_a_connection_are_refused_with_the_remedy(open_store: OpenStore, bouncer: str) -> None:
    """Without prepare=False a proxy that takes no settings says so, and the error says what to add to the URL."""
    with pytest.raises(StoreUnavailableError, match="add prepare=false to the store URL") as caught:
        open_store(bouncer).identify(c.Identify())
    assert not caught.value.transient
