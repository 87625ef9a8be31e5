"""`sessionguard stats`: how many sessions there are, and whether any slot holds more than one active."""

from argparse import ArgumentParser, Namespace
from collections import Counter

from sessionguard.cli import status
from sessionguard.cli.output import counted, print_json, print_table
from sessionguard.cli.target import add_store_arguments, opened_guard


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--scope", help="only this scope")
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Count them; the status says whether every slot holds at most one active session."""
    counts: Counter[tuple[str, str, str]] = Counter()
    slots: Counter[tuple[str, str, str | None]] = Counter()
    with opened_guard(arguments) as guard:
        for session in guard.sessions(scope=arguments.scope, status=None):
            counts[session.scope, session.status, session.reason or ""] += 1
            if session.exclusive and session.status == "active":
                slots[session.scope, session.owner, session.external_id] += 1
    crowded_count = sum(count > 1 for count in slots.values())
    rows = [(*key, count) for key, count in sorted(counts.items())]
    if arguments.json:
        names = ("scope", "status", "reason", "count")
        print_json(
            {
                "total": counts.total(),
                "counts": [dict(zip(names, row, strict=True)) for row in rows],
                "slots_in_use": len(slots),
                "slots_with_several_active": crowded_count,
            }
        )
    else:
        print_table(["scope", "status", "reason", "count"], [(s, t, r or None, str(n)) for s, t, r, n in rows])
        print(
            f"{counted(counts.total(), 'session')}; {counted(len(slots), 'slot')} in use, "
            f"{crowded_count} with more than one active session"
        )
    return status.FAILED if crowded_count else status.OK
