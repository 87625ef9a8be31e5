"""`sessionguard migrate`: brings the schema of a store up to date."""

from argparse import ArgumentParser, Namespace

from sessionguard.cli import status
from sessionguard.cli.output import print_json
from sessionguard.cli.target import add_store_arguments, opened_examined_store


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--dry-run", action="store_true", help="only name what would be applied")
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Apply what is due and name it."""
    with opened_examined_store(arguments) as store:
        names = store.migrate(dry_run=arguments.dry_run)
    if arguments.json:
        print_json({"migrations": names, "applied": not arguments.dry_run})
    else:
        for name in names:
            print(f"{'due' if arguments.dry_run else 'applied'}  {name}")
        if not names:
            print("the schema is up to date")
    return status.OK
