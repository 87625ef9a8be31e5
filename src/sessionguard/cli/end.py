"""`sessionguard end`: ends one session, or all of an owner."""

import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from sessionguard import SessionGuard
from sessionguard.cli import status
from sessionguard.cli.output import counted, print_json, visible
from sessionguard.cli.target import add_store_arguments, knows_files, opened_guard

_NOT_LOOKED_AT: Final = "files are left to the application; --workspaces says where they are"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("session_id", nargs="?", help="the public handle, not the token")
    which.add_argument("--owner", help="end every session of this owner")
    parser.add_argument("--scope", help="with --owner: only in this scope")
    parser.add_argument("--reason", default="revoked", help="with a session_id: kept in the history (default revoked)")
    add_store_arguments(parser, with_workspaces=True)


def run(arguments: Namespace) -> int:
    """End it or them; the status says whether anything was ended."""
    with opened_guard(arguments) as guard:
        return _end_owner(guard, arguments) if arguments.owner is not None else _end_one(guard, arguments)


def _end_one(guard: SessionGuard, arguments: Namespace) -> int:
    session = guard.get(arguments.session_id)
    ended = None if session is None else guard.end(session, arguments.reason)
    if ended is None:
        known = "it has already ended" if session is not None else "there is no session with that id"
        print(f"sessionguard: {known}", file=sys.stderr)
        return status.FAILED
    removed = ended.removed
    if arguments.json:
        print_json(
            {
                "session_id": ended.id,
                "reason": ended.reason,
                "files_removed": removed.files,
                "bytes_removed": removed.bytes,
                "removal_deferred": removed.deferred,
                "removal_failed": removed.failed,
            }
        )
    else:
        files = f"{counted(removed.files, 'file')} removed"
        if removed.deferred:
            files = "files could not be removed; a sweep tries again" if removed.failed else "files in use go later"
        told = files if knows_files(arguments) else _NOT_LOOKED_AT
        print(f"ended {ended.id} ({visible(ended.reason)}), {told}")
    return status.OK


def _end_owner(guard: SessionGuard, arguments: Namespace) -> int:
    count = guard.end_owner(arguments.owner, scope=arguments.scope)
    if arguments.json:
        print_json({"owner": arguments.owner, "ended": count})
    else:
        told = "their files are removed, those in use when they are not any more"
        told = told if knows_files(arguments) else _NOT_LOOKED_AT
        print(f"ended {counted(count, 'session')} of {visible(arguments.owner)}{', ' + told if count else ''}")
    return status.OK if count else status.FAILED
