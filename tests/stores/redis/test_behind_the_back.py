"""T05 and T21: what others do to the keys is detected, and nothing of ours is ever kept without an owner and an end."""

import secrets
import threading

import pytest

from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import Lifetime
from sessionguard.errors import IdentityMismatchError, StoreDataError
from sessionguard.testing.contracts.stage import IDLE, SECOND, TICK
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import RedisCluster, RedisServer
from sessionguard.testing.servers.redis_wire import RedisLine
from tests.stores.redis.asking import Session, keys_of

Place = RedisServer | RedisCluster
INDEXES = (b":due", b":all", b":ended", b":forget")


def test_t05_swapped_records(single: Session, redis_server: RedisServer) -> None:
    """Two records swapped behind the store's back are not given to anyone: the reply is not for what was asked."""
    ana, bea = single.opened("ana"), single.opened("bea")
    prefix = single.store.keys.prefix
    with RedisLine(redis_server.port) as line:
        one, two = (f"{prefix}:{{{record.id[:2]}}}:s:{record.id}" for record in (ana, bea))
        line.command("RENAME", one, f"{prefix}:aside")
        line.command("RENAME", two, one)
        line.command("RENAME", f"{prefix}:aside", two)
    for record in (ana, bea):
        loaded = single.ask(single.s.load(record))
        assert loaded.record is None
        with pytest.raises(IdentityMismatchError):
            single.ask(single.s.get_or_create(record.owner))


def test_t05_token_of_another(single: Session, redis_server: RedisServer) -> None:
    """A token key that leads to another's session opens nothing."""
    ana, bea = single.opened("ana"), single.opened("bea")
    with RedisLine(redis_server.port) as line:
        base = f"{single.store.keys.prefix}:{{{ana.id[:2]}}}:".encode()
        line.command("SET", base + b"t:" + ana.token_hash, bea.id)
        other = f"{single.store.keys.prefix}:{{{ana.id[:2]}}}:s:{bea.id}"
        line.command("COPY", f"{single.store.keys.prefix}:{{{bea.id[:2]}}}:s:{bea.id}", other)
    assert single.ask(single.s.load(ana)).record is None


def test_damaged_record(single: Session, redis_server: RedisServer) -> None:
    """A record that lacks fields is an error that says so, never half a session."""
    ana = single.opened("ana")
    with RedisLine(redis_server.port) as line:
        line.command("HDEL", f"{single.store.keys.prefix}:{{{ana.id[:2]}}}:s:{ana.id}", "cr", "vn")
    with pytest.raises(StoreDataError, match="lacks fields"):
        single.ask(single.s.get(ana))


def _assert_whole(place: Place, prefix: str) -> None:
    """Every hash has an owner, or one beside it that has, and every key about sessions has an end."""
    seen = 0
    for line, key in keys_of(place, prefix):
        kind = key.partition(b"}:")[2][:2]
        if key.endswith((*INDEXES, b":meta", b":g")):
            continue
        seen += 1
        assert line.command("PTTL", key) > 0, key
        if line.command("TYPE", key) == "hash":
            assert kind in (b"s:", b"d:", b"k:"), key
            record = key.replace(b"}:" + kind, b"}:s:")
            assert line.command("HEXISTS", record, "ow") == 1, key
    assert seen


def test_t21_everything_has_an_end(session: Session, place: Place) -> None:
    """After every verb, all keys about sessions are ones that the server throws away some day."""
    s = session.s
    ana = session.opened("ana", data={"n": 1})
    session.ask(s.save(session.opened("bea"), {"later": 1}))
    session.ask(s.acquire(ana, "one"))
    session.ask(s.release(ana, "one"))
    rotated = session.ask(s.rotate(ana)).record
    assert rotated is not None
    session.ask(s.rotate(rotated, owner="zoe"))
    session.ask(s.replace("bea"))
    session.ask(s.end_owner("zoe"))
    session.ask(s.sweep(at=IDLE))
    cy = session.opened("cy")
    for n in range(3):
        session.ask(s.save(cy, {"later": n}))
    _assert_whole(place, session.store.keys.prefix)


def test_t21_late_writes_make_nothing(session: Session, place: Place) -> None:
    """A touch, save or lock at the deadline or a tick later is refused and leaves no key behind."""
    opened = session.opened("ana")
    before = {key for _, key in keys_of(place, session.store.keys.prefix)}
    for at in (IDLE, IDLE + TICK):
        for command in (session.s.touch(opened, at=at), session.s.save(opened, {"n": 1}, at=at)):
            assert session.ask(command).outcome is Outcome.ENDED
        assert session.ask(session.s.acquire(opened, "one", at=at)).outcome is Outcome.ENDED
    assert {key for _, key in keys_of(place, session.store.keys.prefix)} == before


def test_t21_races_with_the_end(session: Session, place: Place, sg_profile: Profile) -> None:
    """Saves and touches that race with the sweep and with the server throwing the record away leave nothing partial."""
    lifetime = Lifetime(idle_us=2_000, absolute_us=4_000, touch_us=0, retention_us=1_000)
    stop = threading.Event()
    troubles: list[BaseException] = []

    def write() -> None:
        try:
            while not stop.is_set():
                new = session.s.new(secrets.token_hex(4), lifetime=lifetime)
                command = session.s.get_or_create(new)
                session.store.get_or_create(type(command)(new, None, command.operation_id))
                for turn in range(6):
                    save = session.s.save(new, {f"n{turn}": turn})
                    touch = session.s.touch(new)
                    session.store.save(type(save)(new.id, None, save.operation_id, save.changes, (), None, 10_000))
                    session.store.touch(type(touch)(new.id, None, touch.operation_id))
                    if turn % 2:
                        _throw_away(place, session.store.keys.prefix, new.id)
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10 * sg_profile.rounds):
        sweep = session.s.sweep()
        session.store.sweep(type(sweep)(1000, None, sweep.operation_id))
    stop.set()
    for thread in threads:
        thread.join()
    assert not troubles
    _assert_whole(place, session.store.keys.prefix)


def _throw_away(place: Place, prefix: str, session_id: str) -> None:
    """Do what the server's expiry does: the record and what belongs to it are gone, indexes stay."""
    for line, key in keys_of(place, f"{prefix}:{{{session_id[:2]}}}"):
        if key.endswith(session_id.encode()):
            line.command("DEL", key)


def test_expired_rubbish_is_swept_out_of_the_indexes(single: Session, redis_server: RedisServer) -> None:
    """Sessions that the server threw away are neither reported nor counted, and the indexes forget them."""
    opened = [single.opened(f"owner-{number}") for number in range(5)]
    for record in opened[:3]:
        _throw_away(redis_server, single.store.keys.prefix, record.id)
    swept = single.ask(single.s.sweep(at=IDLE))
    assert {record.id for record in swept.records} == {record.id for record in opened[3:]}
    assert single.ask(single.s.sweep(at=IDLE)).records == ()
    _throw_away(redis_server, single.store.keys.prefix, opened[3].id)
    assert single.ask(single.s.purge(IDLE, at=3 * IDLE + SECOND)).count == 1
    left = {key for _, key in keys_of(redis_server, single.store.keys.prefix)}
    assert not [key for key in left if key.endswith(INDEXES)]


def test_generations_are_never_used_again(single: Session, redis_server: RedisServer) -> None:
    """Neither a purge nor the server's expiry lets the number of a slot be used twice."""
    last = single.opened("ana").generation
    for _ in range(3):
        single.ask(single.s.end_owner("ana"))
        single.ask(single.s.purge(IDLE, at=IDLE))
        assert single.opened("ana").generation > last
        last = single.opened("ana").generation
    for line, key in keys_of(redis_server, single.store.keys.prefix):
        # What the server throws away in the end: all that has an end.
        if line.command("PTTL", key) > 0:
            line.command("DEL", key)
    assert single.opened("ana").generation > last
