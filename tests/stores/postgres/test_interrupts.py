"""T04: signals that raise during a blocking call; no connection is lost, none is used with an answer under way."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.conftest import OpenStore


class Abort(BaseException):
    """What a worker's signal handler raises to end a request."""


@pytest.fixture
def alarm() -> Iterator[None]:
    """SIGALRM raises `Abort` wherever the main thread is."""

    def abort(number: int, frame: FrameType | None) -> None:
        raise Abort

    former = signal.signal(signal.SIGALRM, abort)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, former)


def interrupted(work: object, seconds: float) -> object:
    """Give what `work` gives, or None if the alarm struck first."""
    assert callable(work)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            return work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Abort:
        return None


# What a handler raises in the callback of a weak reference nobody can catch; Python says so and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("alarm")
def test_t04_alarms_at_random_points(
    open_store: OpenStore, proxy: TcpProxy, postgres_server: PostgresServer, stage: Stage, sg_profile: Profile
) -> None:
    """Calls are struck at random; every answer that comes is the right one, and the pool is never used up."""
    store = open_store(proxy.url_of(postgres_server.url), pool_size=2)
    records = [store.create(stage.create(f"owner {n}")).record for n in range(4)]
    dice = random.Random(11)
    struck = answered = 0

    def ask(mine: SessionRecord) -> SessionRecord | None:
        return store.load(stage.load(mine)).record

    began = time.monotonic()
    for mine in records * 5:
        ask(mine)
    usual = (time.monotonic() - began) / 20
    # Whatever the machine does meanwhile, about half of them are struck.
    for _ in range(sg_profile.rounds * 100):
        mine = dice.choice(records)
        reply = interrupted(lambda mine=mine: ask(mine), dice.random() * usual * 2 + 1e-5)
        if reply is None:
            struck += 1
            usual *= 1.05
            # What comes next is answered right, on another connection; it takes some calls to be as quick again.
            assert [ask(mine) for _ in range(4)] == [mine] * 4
        else:
            assert reply == mine
            usual *= 0.95
            answered += 1
    assert struck > 20
    assert answered > 20
    for mine in records:
        assert ask(mine) == mine
    assert store._connections.open_count <= 2


@pytest.mark.usefixtures("alarm")
def test_t04_an_alarm_during_the_answer_closes_the_connection(
    open_store: OpenStore, proxy: TcpProxy, postgres_server: PostgresServer, stage: Stage
) -> None:
    """Struck while the answer is under way, the call ends at once, and its connection is not used again."""
    store = open_store(proxy.url_of(postgres_server.url), pool_size=1)
    record = store.create(stage.create()).record
    proxy.half_open()
    began = time.monotonic()
    assert interrupted(lambda: store.get(stage.get(record)), 0.05) is None
    assert time.monotonic() - began < 4  # Its patience is 5 seconds.
    assert store._connections.open_count == 0
    proxy.heal()
    assert store.get(stage.get(record)) == record


def test_a_line_that_nobody_has_any_more_is_not_counted(store: PostgresStore, open_store: OpenStore) -> None:
    """If a caller vanishes with its connection, those who wait get another one."""
    narrow = open_store(pool_size=1)
    narrow.identify(c.Identify())
    kept = [narrow._connections._take("identify", time.monotonic() + 5)]
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(narrow.identify(c.Identify())))
    thread.start()
    kept.clear()
    thread.join(10)
    assert told == [store.identify(c.Identify())]
    assert narrow._connections.open_count == 1
