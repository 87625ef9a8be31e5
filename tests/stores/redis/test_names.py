"""Names of callers never steer a key or a slot, and operations on an owner find every shard."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from sessionguard.core.records import SessionRecord
from sessionguard.stores.redis.keys import Keys, hash_slot
from sessionguard.testing.contracts.stage import SECOND
from sessionguard.testing.servers import RedisCluster, RedisServer
from tests.stores.redis.asking import Session, keys_of

HOSTILE = (
    "{", "}", "{}", "{a}", "}{", ":", "{00}", "a}:{b", "\n", "\r\n*1\r\n$4\r\nPING\r\n", "d:x", "*", "?", "[a]",
    "é{", "x" * 10_000, "'; return 1 --", "]]", "%s", "meta", "sg:{00}:s:",
)  # fmt: skip
_PLAIN = set((string.ascii_letters + string.digits + ":").encode())


def test_hostile_owners(session: Session, place: RedisServer | RedisCluster) -> None:
    """Owners, scopes, fields, lock names and reasons of any text are kept as they are; no key's name holds any."""
    for owner in HOSTILE:
        opened = session.opened(owner, scope=owner, data={"n": owner, owner[:200]: owner})
        assert (opened.owner, opened.scope) == (owner, owner)
        assert session.ask(session.s.save(opened, {f"{owner[:200]}2": owner})).record is not None
        assert session.ask(session.s.acquire(opened, owner, owner)).fence == 1
        assert session.opened(owner, scope=owner).id == opened.id
        assert [record.id for record in session.ask(session.s.page(owner=owner)).records] == [opened.id]
    for _, key in keys_of(place, session.store.keys.prefix):
        before, _, name = key.partition(b"}:")
        assert before.count(b"{") == (0 if key.endswith(b":meta") else 1), key
        # The hash of a token is any 33 bytes; it stands behind the braces that count.
        assert name.startswith(b"t:") or set(name) <= _PLAIN, key
    for owner in HOSTILE:
        assert len(session.ask(session.s.end_owner(owner)).records) == 1


def test_hash_slots_are_those_of_the_server(redis_server: RedisServer, redis_cluster: RedisCluster) -> None:
    """Where this library thinks a key is, is where the cluster has it."""
    keys = Keys("sg")
    for key in (b"123456789", b"", b"a", keys.meta, b"{}x", b"{a}x", b"x{a}", b"{a", b"a}{b}", *keys.bases.values()):
        assert hash_slot(key) == redis_cluster.nodes[0].command("CLUSTER", "KEYSLOT", key), key


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_session_id_is_just_unknown(text: str) -> None:
    """A tag that is none leads to some shard, never elsewhere."""
    keys = Keys("sg")
    assert keys.bases.get(text[:2], keys.bases["00"]) in keys.bases.values()


def _login(session: Session, number: int, owner: str) -> SessionRecord:
    visitor = session.ask(session.s.create(f"anonymous-{number}", at=number * SECOND)).record
    rotated = session.ask(session.s.rotate(visitor, owner=owner, at=number * SECOND)).record
    assert rotated is not None
    return rotated


def test_owner_with_sessions_in_many_shards(session: Session) -> None:
    """Sessions that received their owner stay in their shards, and are listed and ended with the owner's others."""
    home = session.ask(session.s.create("ana", at=50 * SECOND)).record
    foreign = [_login(session, number, "ana") for number in range(12)]
    assert len({record.id[:2] for record in foreign}) > 1
    _login(session, 99, "bea")
    newest_first = [home.id, *(record.id for record in reversed(foreign))]
    listed: list[str] = []
    cursor = None
    for _ in range(10):
        page = session.ask(session.s.page(owner="ana", limit=4, cursor=cursor, at=99 * SECOND))
        listed += [record.id for record in page.records]
        cursor = page.cursor
        if cursor is None:
            break
    assert listed == newest_first
    command = session.s.end_owner("ana", keep=foreign[0], at=99 * SECOND)
    ended = session.ask(command)
    assert {record.id for record in ended.records} == set(newest_first) - {foreign[0].id}
    later = _login(session, 100, "ana")
    assert session.ask(command) == ended
    assert session.ask(session.s.load(later, at=100 * SECOND)).record == later
    assert session.ask(session.s.load(foreign[0], at=99 * SECOND)).record is not None
    assert len(session.ask(session.s.page(owner="bea", at=99 * SECOND)).records) == 1
