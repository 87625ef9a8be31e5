"""`sessionguard adopt`: lets a table of PostgreSQL keep to one active row per slot, and ends what is too many."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from attrs import asdict

from sessionguard.cli import status
from sessionguard.cli.failure import CommandError
from sessionguard.cli.output import counted, print_json, print_table, visible
from sessionguard.cli.target import add_store_arguments, store_url
from sessionguard.errors import ConfigurationError
from sessionguard.stores.opening import open_store

if TYPE_CHECKING:
    from sessionguard.stores.postgres.adoption import Adopted, Adoption


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--table", metavar="NAME", help="the application's own table, as name or schema.name")
    parser.add_argument(
        "--slot", metavar="COLUMNS", help="of which one combination may be active once, such as user_id,kind"
    )
    parser.add_argument(
        "--active",
        metavar="COLUMN[=VALUE]",
        help="which rows are active: status=active; a column alone: where it is NULL",
    )
    parser.add_argument("--newest", metavar="COLUMN", help="the highest value stays, such as created_at")
    parser.add_argument(
        "--end",
        metavar="COLUMN=VALUE",
        action="append",
        default=[],
        help="what is written to end a row, such as status=ended or ended_at=now(); may be repeated",
    )
    parser.add_argument("--repair", action="store_true", help="instead: mend sessionguard's own table and its indexes")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be ended, and try a few rows")
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Do it, and list every row that was ended, with the one that stays in its place."""
    # Here, for it needs psycopg, which other commands do not.
    from sessionguard.stores.postgres import PostgresStore
    from sessionguard.stores.postgres.adopting import adopt
    from sessionguard.stores.postgres.repairing import repair

    url = store_url(arguments)
    store = open_store(url)
    if not isinstance(store, PostgresStore):
        raise ConfigurationError.of_url(url, "only a PostgreSQL database has tables to adopt", setting="--store")
    with closing(store):
        if arguments.repair:
            adopted = repair(store.settings, dry_run=arguments.dry_run)
        else:
            adopted = adopt(store.settings, _adoption(arguments), dry_run=arguments.dry_run)
    if arguments.json:
        print_json(asdict(adopted))
        return status.OK
    _tell(adopted, arguments.active or "active sessions", is_foreign=not arguments.repair)
    return status.OK


def _tell(adopted: "Adopted", active: str, *, is_foreign: bool) -> None:
    would = "would be " if adopted.dry_run else ""
    print(f"{adopted.active_count} of {counted(adopted.row_count, 'row')} active")
    if adopted.row_count and not adopted.active_count:
        print(f"none is active by {visible(active)}: look what the column holds; capital letters count")
    if adopted.ended:
        rows = [(_pairs(row.slot), _pairs(row.key), _pairs(row.kept)) for row in adopted.ended]
        print_table((f"SLOT ({would}ended)", "ENDED", "STAYS"), rows)
    print(f"{counted(len(adopted.ended), 'row')} {would}ended")
    if adopted.untried_count:
        print(f"{counted(adopted.untried_count, 'row')} of them not tried: in use by others, or beyond the first 100")
    if adopted.without_slot:
        print(f"{counted(adopted.without_slot, 'active row')} without a slot, unguarded: make its columns NOT NULL")
    kind = "unique index" if is_foreign else "index"
    for name in adopted.indexes:
        print(f"{kind} {name} {would}made")
    if adopted.renumbered_count:
        print(f"{counted(adopted.renumbered_count, 'session')} {would}given a generation of their own")


def _adoption(arguments: Namespace) -> "Adoption":
    from sessionguard.stores.postgres.adoption import Adoption

    missing = [f"--{name}" for name in ("table", "slot", "active", "newest", "end") if not getattr(arguments, name)]
    if missing:
        raise CommandError(f"give {', '.join(missing)}, or --repair for sessionguard's own table")
    column, equals, value = arguments.active.partition("=")
    slot = tuple(name.strip() for name in arguments.slot.split(","))
    return Adoption(
        arguments.table, slot, (column, value if equals else None), arguments.newest, _changes(arguments.end)
    )


def _changes(pairs: list[str]) -> Mapping[str, str]:
    changes = {}
    for pair in pairs:
        column, equals, value = pair.partition("=")
        if not equals:
            raise CommandError("--end takes COLUMN=VALUE, such as status=ended")
        changes[column] = value
    return changes


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
