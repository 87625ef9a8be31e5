"""`adopt --repair` makes every index of ours as it should be, whatever is in its way."""

import pytest

from sessionguard.stores.postgres import PostgresStore
from sessionguard.stores.postgres.indexes import OWN_INDEXES
from sessionguard.stores.postgres.repairing import repair
from sessionguard.testing.contracts.stage import SECOND, Stage
from sessionguard.testing.servers import PostgresServer

WRONG = {
    "not unique": (
        "sg_generation",
        "CREATE INDEX sg_generation ON {}.sg_session (owner, scope, generation)",
    ),
    "of other columns": ("sg_slot", "CREATE UNIQUE INDEX sg_slot ON {}.sg_session (id) WHERE active"),
    "of other rows": ("sg_due", "CREATE INDEX sg_due ON {}.sg_session (expires_us)"),
    "missing": ("sg_owner", "SELECT '{}'"),
}


def problems(store: PostgresStore) -> dict[str, str]:
    """Give what `doctor` calls a problem."""
    return {found.subject: found.message for found in store.examine() if found.level == "problem"}


@pytest.mark.parametrize("name, statement", WRONG.values(), ids=WRONG)
def test_an_index_that_is_not_what_its_name_says(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, name: str, statement: str
) -> None:
    """Doctor names it, a dry run plans it, the repair makes it as the migrations do."""
    assert problems(store) == {}
    asked = f"SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = '{schema_name}' ORDER BY 1"
    before = postgres_server.execute(asked)
    postgres_server.execute(f"DROP INDEX {schema_name}.{name}; {statement.format(schema_name)}")
    assert name in problems(store)["indexes"]
    assert repair(store.settings, dry_run=True).indexes == (name,)
    assert repair(store.settings).indexes == (name,)
    assert postgres_server.execute(asked) == before
    assert problems(store) == {}


def test_doubles_of_a_generation(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """The dry run counts them; the repair gives each but the active one a number that its slot never had."""
    first = store.get_or_create(stage.get_or_create("ana")).record
    current = store.replace(stage.replace("ana", at=SECOND)).record
    postgres_server.execute(
        f"DROP INDEX {schema_name}.sg_generation; UPDATE {schema_name}.sg_session SET generation = 2"
    )
    assert repair(store.settings, dry_run=True).renumbered_count == 1
    done = repair(store.settings)
    assert (done.renumbered_count, done.indexes, done.ended) == (1, ("sg_generation",), ())
    told = sorted(postgres_server.execute(f"SELECT id, generation FROM {schema_name}.sg_session"))
    assert told == sorted([(first.id, "3"), (current.id, "2")])
    assert store.replace(stage.replace("ana", at=SECOND)).record.generation == 4
    assert repair(store.settings).renumbered_count == 0


def test_every_index_of_ours_is_known() -> None:
    """Each that the migrations make is looked at and can be made anew."""
    assert {"sg_slot", "sg_generation", "sg_owner", "sg_owner_active", "sg_token", "sg_forget"} < set(OWN_INDEXES)
