"""A server that follows another and takes no changes: it is told as what it is, with where to go instead."""

from collections.abc import Callable, Iterator

import pytest

from sessionguard.cli.__main__ import main
from sessionguard.core import commands as c
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore
from sessionguard.stores.postgres.adopting import adopt
from sessionguard.stores.postgres.adoption import Adoption
from sessionguard.stores.postgres.repairing import repair
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import PostgresServer
from tests.conftest import installed
from tests.stores.postgres.conftest import OpenStore
from tests.stores.postgres.standby import HotStandby

ELSEWHERE = "this server is a standby.*name the primary in the store URL, or all .*target_session_attrs=read-write"
OWN = Adoption("public.own", ("user_id",), ("status", "active"), "id", {"status": "ended"})


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    """A server of which there are standbys."""
    with installed(PostgresServer) as server:
        server.execute("CREATE TABLE public.own (id int PRIMARY KEY, user_id text, status text)")
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[HotStandby]:
    """A standby that has what the primary had as it was made, and gets what is made later."""
    with installed(lambda: HotStandby(primary)) as server:
        yield server


def both(primary: PostgresServer, standby: PostgresServer) -> str:
    """Give a URL that names both servers, the standby first."""
    return primary.url.replace("@127.0.0.1:", f"@127.0.0.1:{standby.port},127.0.0.1:")


def test_nothing_is_migrated_on_a_standby(
    standby: HotStandby, open_store: OpenStore, schema_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by the command nor at a first use, and both say where it can be; what is due is named all the same."""
    store = open_store(standby.url)
    with pytest.raises(StoreUnavailableError, match=f"{ELSEWHERE}") as caught:
        store.migrate()
    assert "migrate on the primary" in str(caught.value)
    assert caught.value.transient
    with pytest.raises(StoreUnavailableError, match="migrate on the primary"):
        store.identify(c.Identify())
    assert len(store.migrate(dry_run=True)) > 1
    assert main(["migrate", "--store", f"{standby.url}?schema={schema_name}"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("sessionguard: postgresql store: this server is a standby; migrate on the primary: ")
    assert "under an open connection" not in told.err
    assert told.err.count("\n") == 1


def test_nothing_is_adopted_on_a_standby(standby: HotStandby, open_store: OpenStore) -> None:
    """Also a dry run asks for the primary, for it tries what it would do."""
    settings = open_store(standby.url).settings
    for dry_run in (True, False):
        with pytest.raises(StoreUnavailableError, match=ELSEWHERE):
            adopt(settings, OWN, dry_run=dry_run)
    with pytest.raises(StoreUnavailableError, match=ELSEWHERE):
        repair(settings)


@pytest.mark.parametrize("prepare", [True, False])
def test_what_a_standby_answers_to_each_call(
    primary: PostgresServer, standby: HotStandby, open_store: OpenStore, stage: Stage, prepare: bool, schema_name: str
) -> None:
    """A change is refused as that of a standby, prepared or not, and changes nothing."""
    record = open_store(primary.url).create(stage.create("ana")).record
    awaited(standby, schema_name, record.id)
    store = open_store(standby.url, prepare=prepare)
    with pytest.raises(StoreUnavailableError, match="this server is a standby") as caught:
        store.save(stage.save(record, {"n": 1}))
    assert caught.value.transient
    assert store._connections.open_count == 0
    assert "migrated" not in str(caught.value)
    assert {found.level for found in store.examine() if found.subject == "role"} == {"problem"}


def awaited(standby: HotStandby, schema: str, session_id: str) -> None:
    """Wait until a session has reached the standby."""
    there = f"SELECT to_regclass('{schema}.sg_session') IS NOT NULL"
    found = f"SELECT count(*) FROM {schema}.sg_session WHERE id = '{session_id}'"
    for _ in range(100_000):
        if standby.execute(there) == [("t",)] and standby.execute(found) == [("1",)]:
            return
    pytest.fail("the standby does not follow")


def test_the_remedy_works(
    primary: PostgresServer, standby: HotStandby, open_store: OpenStore, make_async: Callable[..., AsyncPostgresStore],
    stage: Stage,
) -> None:  # fmt: skip
    """With both servers in the URL, and target_session_attrs=read-write, the primary is found."""
    url = both(primary, standby)
    with pytest.raises(StoreUnavailableError, match=ELSEWHERE):
        open_store(url).migrate()
    store = open_store(f"{url}?target_session_attrs=read-write")
    store.migrate()
    assert store.create(stage.create()).record.reason is None
    with pytest.raises(StoreUnavailableError, match="name the primary"):
        open_store(f"{standby.url}?target_session_attrs=read-write").identify(c.Identify())


def test_a_standby_that_is_promoted_serves(primary: PostgresServer, open_store: OpenStore, stage: Stage) -> None:
    """A store that was refused by a standby works as soon as that is the primary."""
    store: PostgresStore
    with installed(lambda: HotStandby(primary)) as successor:
        store = open_store(successor.url)
        with pytest.raises(StoreUnavailableError, match="migrate on the primary"):
            store.create(stage.create())
        successor.promote()
        assert store.create(stage.create()).record.reason is None
