"""`sessionguard list`: the sessions of a store."""

from argparse import ArgumentParser, Namespace
from itertools import islice

from sessionguard.cli import status
from sessionguard.cli.numbers import whole_number
from sessionguard.cli.output import as_plain, counted, print_json, print_table, session_fields
from sessionguard.cli.target import add_store_arguments, opened_guard
from sessionguard.errors import InvalidArgumentError

COLUMNS = ("session_id", "scope", "owner", "status", "reason", "last_seen_at", "expires_at")

# More than any store holds, and what `islice` can count to.
MANY = 1_000_000_000


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_store_arguments(parser)
    parser.add_argument("--scope", help="only this scope")
    parser.add_argument("--owner", help="only this owner")
    parser.add_argument("--status", choices=["active", "ended", "all"], default="active", help="default: active")
    parser.add_argument("--limit", type=whole_number, default=100, metavar="N", help="at most so many (default 100)")


def run(arguments: Namespace) -> int:
    """List them; none is an answer, too."""
    if arguments.limit < 1:
        raise InvalidArgumentError("limit", arguments.limit, "give a whole number above zero")
    wanted = None if arguments.status == "all" else arguments.status
    with opened_guard(arguments) as guard:
        found = guard.sessions(scope=arguments.scope, owner=arguments.owner, status=wanted)
        shown = [session_fields(session) for session in islice(found, min(arguments.limit, MANY) + 1)]
    has_more = len(shown) > arguments.limit
    shown = shown[: arguments.limit]
    if arguments.json:
        print_json({"sessions": [as_plain(fields) for fields in shown], "has_more": has_more})
    else:
        print_table([column.removesuffix("_at") for column in COLUMNS], [[f[c] for c in COLUMNS] for f in shown])
        print(f"{counted(len(shown), 'session')}{', and there are more (--limit)' if has_more else ''}")
    return status.OK
