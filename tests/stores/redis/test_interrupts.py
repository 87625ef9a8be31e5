"""T04: a signal handler that raises wherever it strikes, as a worker's time limit does, mixes up and loses nothing."""

import gc
import random
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

import pytest
from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.data import decode
from sessionguard.core.driving import perform, run
from sessionguard.stores.redis import RedisStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import ChildProcess
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import RedisCluster, RedisServer
from tests.stores.redis.asking import Session

_POOL = 2


class _InterruptError(BaseException):
    """What the handler raises: nothing may take it for a failure of the store."""


def _interrupt(signal_number: int, frame: object) -> None:
    raise _InterruptError


@frozen
class Aftermath:
    """What is left after the interrupts."""

    interrupted: int
    living: list[int]
    idle: list[int]
    seconds: float


def be_interrupted(pipe: Connection, url: str, prefix: str, seconds: float) -> Aftermath:
    """Load and save for two owners in turn, while a handler raises at random instants; then use the store as ever."""
    store = RedisStore(url, prefix=prefix, pool_size=_POOL, patience_seconds=20)
    session = Session(store, Stage(run(perform(c.Identify()), store)))
    records = [session.opened(owner, data={"canary": owner}) for owner in ("ana", "bea")]
    interrupted, turn = 0, 0
    signal.signal(signal.SIGALRM, _interrupt)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        turn += 1
        record = records[turn % 2]
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0008))
                _require_own(session.ask(session.s.load(record)).record, record)
                _require_own(session.ask(session.s.save(record, {"n": turn})).record, record)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _InterruptError:
            interrupted += 1
    began = time.monotonic()
    for record in records * 3:
        _require_own(session.ask(session.s.load(record)).record, record)
    taken = time.monotonic() - began
    gc.collect()
    pools = store.pools
    store_left = Aftermath(interrupted, [len(pool) for pool in pools], [len(pool.idle) for pool in pools], taken)
    store.close()
    return store_left


def _require_own(found: Any, record: Any) -> None:
    assert (found.id, decode(found.data)["canary"]) == (record.id, record.owner)


@pytest.mark.processes
def test_t04_interrupts_at_random_instants(
    place: RedisServer | RedisCluster, key_prefix: str, sg_profile: Profile
) -> None:
    """After hundreds of interrupts every caller has got its own record, and every place in the pool can be used."""
    seconds = min(0.4 * sg_profile.rounds, 15.0)
    with ChildProcess(be_interrupted, place.url, key_prefix, seconds) as child:
        left = child.finish()
    assert left.interrupted > 100
    assert left.living == left.idle
    assert max(left.living) <= _POOL
    # Whoever finds a place lost waits for it as long as it has patience.
    assert left.seconds < 10.0
