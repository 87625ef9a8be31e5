"""T62: processes and servers that are killed while they write; nothing that was acknowledged is lost."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.postgres import PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import killed_while
from sessionguard.testing.profile import Profile
from sessionguard.testing.servers import PostgresServer
from tests.stores.postgres.conftest import OpenStore
from tests.stores.postgres.workers import write_without_end


@pytest.mark.processes
def test_t62_a_killed_writer_loses_nothing(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage, sg_profile: Profile
) -> None:
    """Whatever a writer acknowledged before kill -9 is stored, and the next writer goes on at once."""
    record = store.create(stage.create()).record
    for _ in range(sg_profile.kills):
        told = killed_while(write_without_end, postgres_server.url, schema_name, record.id, acknowledgements=5)
        stored = store.get(stage.get(record))
        assert stored is not None
        assert json.loads(stored.data)["n"] >= max(told)
        assert store.save(stage.save(record, {"n": 0})).record is not None


@pytest.mark.processes
def test_t62_a_killed_server_loses_nothing(
    open_store: OpenStore, own_server: PostgresServer, schema_name: str, stage: Stage, sg_profile: Profile
) -> None:
    """Whatever was acknowledged before the server was killed is there after its recovery, once, in a sound schema."""
    store = open_store(own_server.url)
    record = store.create(stage.create()).record
    acknowledged: list[int] = []

    def write() -> None:
        number = 0
        try:
            while True:
                number += 1
                store.save(stage.save(record, {f"f{number}": number}))
                acknowledged.append(number)
        except StoreUnavailableError:
            return

    for _ in range(max(2, sg_profile.kills // 5)):
        acknowledged.clear()
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while len(acknowledged) < 20 and not writing.done():
                pass
            own_server.kill()
            writing.result(60)
        own_server.start()
        stored = store.get(stage.get(record))
        assert stored is not None
        assert set(acknowledged) <= {int(name[1:]) for name in json.loads(stored.data)}
        assert [found.subject for found in store.examine() if found.level == "problem"] == []
        record = store.create(stage.create()).record
