"""T59: restart, FLUSHALL, SCRIPT FLUSH, failover with a lost write: recovered from, or reported as lost."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.core.events import SessionLost
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.losing import lost_session
from sessionguard.errors import StoreDataError, StoreError, StoreUnavailableError
from sessionguard.stores.contract import ForgetfulStore
from sessionguard.stores.redis import RedisStore
from sessionguard.testing.servers import RedisCluster, RedisSentinel, RedisServer
from sessionguard.testing.servers.redis_wire import RedisLine
from tests.stores.redis.asking import Session, servers_of
from tests.stores.redis.conftest import OpenSession


def test_t59_restart(open_session: OpenSession) -> None:
    """After a restart the first call finds that its connection is gone, opens another, and all sessions are there."""
    with RedisServer(appendonly="always") as server:
        session = open_session(server.url)
        opened = session.opened("ana", data={"n": 1})
        server.restart()
        assert session.ask(session.s.load(opened)).record == opened
        server.kill()
        server.start()
        assert session.ask(session.s.load(opened)).record == opened


def test_t59_script_flush(session: Session, place: RedisServer | RedisCluster) -> None:
    """A server that has forgotten all scripts is told them again, in the same call."""
    opened = session.opened("ana")
    commands: tuple[c.Command[Any], ...] = (
        session.s.load(opened),
        session.s.save(opened, {"n": 1}),
        session.s.end(opened),
    )
    for command in commands:
        for server in servers_of(place):
            server.command("SCRIPT", "FLUSH")
        reply = session.ask(command)
        assert reply.record is not None


def _emptied(session: Session, place: RedisServer | RedisCluster) -> None:
    for server in servers_of(place):
        for key in server.command("KEYS", f"{session.store.keys.prefix}:*"):
            server.command("DEL", key.encode("utf-8", "surrogateescape"))


def test_t59_lost_everything(session: Session, place: RedisServer | RedisCluster) -> None:
    """Lost sessions are reported as lost; what opens next is new, under the same deployment, and never another's."""
    assert isinstance(session.store, ForgetfulStore)
    assert session.store.may_forget
    ana = session.opened("ana", data={"secret": "ana"})
    _emptied(session, place)
    assert session.ask(session.s.load(ana)).refusal == "unknown"
    saved = session.ask(session.s.save(ana, {"n": 1}))
    assert (saved.outcome, saved.record) == (Outcome.ENDED, None)
    again = session.opened("ana")
    assert again.id != ana.id
    assert lost_session((ana.generation, ana.id), again) == ana.id
    assert again.data == "{}"
    assert run(perform(c.Identify()), session.store) == session.s.deployment_id


def test_t59_others_began_anew(session: Session, place: RedisServer | RedisCluster) -> None:
    """Whoever opens after others began anew on the emptied server is stopped: two would be active in one slot."""
    session.opened("ana")
    _emptied(session, place)
    store = RedisStore(place.url, prefix=session.store.keys.prefix)
    try:
        assert run(perform(c.Identify()), store) != session.s.deployment_id
        with pytest.raises(StoreDataError, match="restart this process"):
            session.opened("ana")
    finally:
        store.close()


def _wait_for_replica(primary: RedisServer) -> None:
    """Wait until the replica has all that was written so far; WAIT itself looks at its own connection only."""
    with RedisLine(primary.port) as line:
        line.command("SET", "marker", 1)
        assert line.command("WAIT", 1, 5000) == 1


def test_a_shard_of_another_deployment_is_not_used(single: Session, redis_server: RedisServer) -> None:
    """A shard that others began under another deployment id, as after half of a cluster was lost, opens nothing."""
    tag = single.s.new("ana").id[:2]
    redis_server.command("SET", f"{single.store.keys.prefix}:{{{tag}}}:g", f"{'f' * 32}:5")
    with pytest.raises(StoreDataError, match="restart this process"):
        single.opened("ana")
    assert single.ask(single.s.page()).records == ()


def _until_it_answers(session: Session, command: c.Command[c.R], seconds: float = 30.0) -> c.R:
    """Ask again for as long as the answer is transient, as a guard does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return session.ask(command)
        except StoreUnavailableError as error:
            if not error.transient or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_t59_failover_with_a_lost_write(open_session: OpenSession) -> None:
    """After a failover to a replica that lagged behind, a lost session is lost, what was saved before is there."""
    with (
        RedisServer(appendonly="no") as primary,
        RedisServer(appendonly="no", replica_of=primary) as replica,
        RedisSentinel(primary) as sentinel,
    ):
        session = open_session(sentinel.url, patience_seconds=1.0)
        kept = session.opened("ana", data={"n": 1})
        _wait_for_replica(primary)
        _cut_off_replicas(primary)
        lost = session.opened("bea", data={"secret": "bea"})
        saved = session.ask(session.s.save(kept, {"n": 2}))
        assert saved.outcome is Outcome.DONE
        primary.kill()
        assert _until_it_answers(session, session.s.load(kept)).record == kept
        assert session.ask(session.s.load(lost)).refusal == "unknown"
        successor = session.opened("bea")
        assert successor.id != lost.id
        assert lost_session((lost.generation, lost.id), successor) == lost.id
        assert successor.data == "{}"
        assert sentinel.primary_port == replica.port


def test_demoted_primary_is_not_read(open_session: OpenSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has become a replica is neither written to nor read from: what it says may be old."""
    with RedisServer(appendonly="no") as primary, RedisServer(appendonly="no", replica_of=primary) as replica:
        session = open_session(primary.url, patience_seconds=1.0, pool_size=20)
        opened = session.opened("ana")
        _wait_for_replica(primary)
        behind = RedisStore(replica.url, prefix=session.store.keys.prefix, patience_seconds=1.0)
        with pytest.raises(StoreUnavailableError, match="read-only replica; name the primary") as caught:
            run(perform(session.s.load(opened)), behind)
        assert caught.value.transient
        behind.close()
        (pool,) = session.store.pools
        for line in [pool.take(time.monotonic() + 5) for _ in range(20)]:
            pool.give_back(line)
        monkeypatch.setattr(pool, "drop", lambda: None)
        replica.command("REPLICAOF", "NO", "ONE")
        primary.command("REPLICAOF", "127.0.0.1", replica.port)
        # Meanwhile it copies what the other has, and may have nothing: that is no absence of any session.
        commands: tuple[c.Command[Any], ...] = (
            session.s.load(opened), session.s.get(opened), session.s.save(opened, {"n": 1}), session.s.end(opened),
            session.s.get_or_create("ana"), session.s.page(), session.s.page(owner="ana"), session.s.sweep(),
            session.s.purge(), session.s.end_owner("ana"), session.s.release(opened, "one"), c.Identify(),
        )  # fmt: skip
        for command in commands:
            # Each over a connection from before, where nobody asks whether this is still a primary.
            with pytest.raises(StoreUnavailableError, match="replica"):
                session.ask(command)


def test_cluster_moves_a_slot(open_session: OpenSession) -> None:
    """While a slot moves, its sessions are unavailable, never absent; afterwards they are found on the other node."""
    with RedisCluster(appendonly="no") as cluster:
        session = open_session(cluster.url)
        opened = session.opened("ana", data={"n": 1})
        base = f"{session.store.keys.prefix}:{{{opened.id[:2]}}}:"
        slot = cluster.nodes[0].command("CLUSTER", "KEYSLOT", base)
        source = cluster.node_of(slot)
        target = next(node for node in cluster.nodes if node is not source)
        ids = {node.port: node.command("CLUSTER", "MYID") for node in cluster.nodes}
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
        keys = [key.encode("utf-8", "surrogateescape") for key in source.command("KEYS", f"{base}*")]
        commands: tuple[c.Command[Any], ...] = (
            session.s.load(opened),
            session.s.save(opened, {"n": 2}),
            session.s.get_or_create("ana"),
        )
        for key in keys:
            for command in commands:
                with pytest.raises(StoreUnavailableError) as caught:
                    session.ask(command)
                assert caught.value.transient
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        for node in (target, source, *cluster.nodes):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
        assert _until_it_answers(session, session.s.load(opened)).record == opened
        assert session.ask(session.s.save(opened, {"n": 2})).outcome is Outcome.DONE


def test_cluster_without_a_node(open_session: OpenSession) -> None:
    """With a master down, calls fail as transient, in time, and work again when it is back."""
    with RedisCluster(appendonly="always") as cluster:
        session = open_session(cluster.url, patience_seconds=1.0)
        opened = session.opened("ana")
        slot = cluster.nodes[0].command("CLUSTER", "KEYSLOT", f"x{{{opened.id[:2]}}}")
        node = cluster.node_of(slot)
        node.kill()
        for _ in range(3):
            with pytest.raises(StoreError) as caught:
                session.ask(session.s.load(opened))
            assert getattr(caught.value, "transient", False)
        node.start()
        assert _until_it_answers(session, session.s.load(opened)).record == opened


def _cut_off_replicas(primary: RedisServer) -> None:
    """From here on no replica hears anything: the primary wants a password of whoever connects anew."""
    primary.command("CONFIG", "SET", "requirepass", "another")
    primary.password = "another"
    primary.command("CLIENT", "KILL", "TYPE", "replica")


def test_t59_a_guard_survives_a_failover(key_prefix: str, tmp_path: Path) -> None:
    """Its call waits for the new primary; what was lost is told, and the files of the lost session go to nobody."""
    told: list[str] = []
    with (
        RedisServer(appendonly="no") as primary,
        RedisServer(appendonly="no", replica_of=primary) as replica,
        RedisSentinel(primary) as sentinel,
    ):
        store = RedisStore(sentinel.url, prefix=key_prefix, patience_seconds=1.0)
        patience = timedelta(seconds=30)
        with SessionGuard(store, tmp_path, sweep_interval=None, patience=patience) as guard:
            guard.subscribe(lambda event: told.append(event.session_id) if isinstance(event, SessionLost) else None)
            kept = guard.replace("ada", data={"n": 1})
            _wait_for_replica(primary)
            _cut_off_replicas(primary)
            lost = guard.replace("ada", data={"secret": "ada"})
            with guard.workspace(lost) as files:
                files.write("plan", "the only copy")
            primary.kill()
            found = guard.get_or_create("ada")
            assert (found.id, found.data) == (kept.id, {"n": 1})
            assert told == [lost.id]
            assert [path.name[:34] for path in tmp_path.glob("*/.quarantine/*")] == [lost.id]
            with guard.workspace(found) as files:
                assert files.list() == []
            assert sentinel.primary_port == replica.port
        store.close()


def test_t59_a_guard_survives_a_restart(key_prefix: str) -> None:
    """Calls that meet a server that is killed and started again take as long as that, and fail neither way."""
    with RedisServer(appendonly="always") as server:
        store = RedisStore(server.url, prefix=key_prefix, patience_seconds=1.0)
        with SessionGuard(store, sweep_interval=None, patience=timedelta(seconds=30)) as guard:
            session = guard.get_or_create("ada", data={"n": 0})
            for turn in range(1, 4):
                server.kill()
                starting = threading.Timer(0.05, server.start)
                starting.start()
                assert guard.save(session, {"n": turn}).data == {"n": turn}
                starting.join()
            assert guard.load(session.token).version == 4  # type: ignore[union-attr]
        store.close()
