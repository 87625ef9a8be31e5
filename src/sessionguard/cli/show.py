"""`sessionguard show`: one session by its session_id."""

import sys
from argparse import ArgumentParser, Namespace

from sessionguard.cli import status
from sessionguard.cli.output import as_plain, json_line, print_fields, print_json, session_fields
from sessionguard.cli.target import add_store_arguments, opened_guard


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("session_id", help="the public handle, not the token")
    parser.add_argument("--data", action="store_true", help="show the values of the data, not only the field names")
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Show it; the status says whether there is such a session."""
    with opened_guard(arguments) as guard:
        session = guard.get(arguments.session_id)
    if session is None:
        print("sessionguard: there is no session with that id", file=sys.stderr)
        return status.FAILED
    fields = session_fields(session)
    data = dict(session.data)
    if arguments.json:
        print_json(as_plain(fields) | {"data": data if arguments.data else sorted(data)})
    else:
        print_fields(fields | {"data": json_line(data) if arguments.data else ", ".join(sorted(data)) or None})
    return status.OK
