"""`sessionguard sweep`: ends what has expired and removes its files, one batch."""

from argparse import ArgumentParser, Namespace

from sessionguard.cli import status
from sessionguard.cli.output import print_fields, print_json
from sessionguard.cli.target import add_store_arguments, opened_guard


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="at most so many sessions (default 1000)")
    add_store_arguments(parser, with_workspaces=True)


def run(arguments: Namespace) -> int:
    """Sweep once and report; `has more` says that another run would find work."""
    with opened_guard(arguments) as guard:
        report = guard.sweep(limit=arguments.limit)
    names = ("ended", "skipped_in_use", "workspaces_removed", "bytes_freed", "has_more")
    fields = {name: getattr(report, name) for name in names}
    if arguments.json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})
    return status.OK
