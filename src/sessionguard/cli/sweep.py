"""`sessionguard sweep`: ends what has expired and removes its files, once or at intervals."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Final

from attrs import asdict, evolve

from sessionguard import SessionGuard, SweepReport
from sessionguard.cli import status
from sessionguard.cli.output import counted, json_line, print_fields, print_json
from sessionguard.cli.progress import Bar
from sessionguard.cli.target import add_store_arguments, opened_guard
from sessionguard.core.sweeps import BATCH

_INTERVAL_SECONDS: Final = 60.0

Shown = Callable[[SweepReport], None]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="at most so many sessions (default 1000)")
    parser.add_argument("--force", action="store_true", help="go on though a large share of all sessions is due")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and change nothing")
    parser.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=_INTERVAL_SECONDS,
        metavar="SECONDS",
        help="sweep again and again until interrupted, every minute unless said otherwise",
    )
    add_store_arguments(parser, with_workspaces=True)


def run(arguments: Namespace) -> int:
    """Sweep and report; the status says whether the brake held."""
    with opened_guard(arguments) as guard:
        if arguments.watch is None:
            report = _pass(guard, arguments)
            _show(report, arguments)
            return status.FAILED if report.braked else status.OK
        while True:
            report = _pass(guard, arguments)
            print(json_line(_fields(report)) if arguments.json else _line(report), flush=True)
            time.sleep(arguments.watch)


def _pass(guard: SessionGuard, arguments: Namespace) -> SweepReport:
    if arguments.dry_run:
        return guard.sweep(arguments.limit, force=arguments.force, dry_run=True)
    if arguments.json or not sys.stderr.isatty():
        return guard.sweep(arguments.limit, force=arguments.force, in_turn=True)
    return _with_bar(guard, arguments.limit, force=arguments.force)


def _with_bar(guard: SessionGuard, limit: int, *, force: bool) -> SweepReport:
    """Sweep in parts, so that there is progress to show; the brake is asked before the first."""
    due = guard.sweep(limit, force=force, dry_run=True).ended
    whole = guard.sweep(min(limit, BATCH), force=force, in_turn=True)
    with Bar(sys.stderr, "sweeping", max(due, whole.ended)) as bar:
        bar.show(whole.ended)
        part = whole
        while part.has_more and part.ended and whole.ended < limit and not part.yielded:
            part = guard.sweep(min(limit - whole.ended, BATCH), force=True, in_turn=True)
            whole = _together(whole, part)
            bar.show(whole.ended)
    return whole


def _together(whole: SweepReport, part: SweepReport) -> SweepReport:
    return evolve(
        part,
        ended=whole.ended + part.ended,
        workspaces_removed=whole.workspaces_removed + part.workspaces_removed,
        bytes_freed=whole.bytes_freed + part.bytes_freed,
        # What is in use in one part is met again in the next.
        skipped_in_use=max(whole.skipped_in_use, part.skipped_in_use),
    )


def _show(report: SweepReport, arguments: Namespace) -> None:
    if arguments.json:
        print_json(_fields(report))
        return
    print_fields({name.replace("_", " "): value for name, value in _fields(report).items()})
    reason = _hindrance(report)
    if reason:
        print(f"sessionguard: {reason}", file=sys.stderr)


def _fields(report: SweepReport) -> dict[str, object]:
    return asdict(report)


def _line(report: SweepReport) -> str:
    told = f"ended {counted(report.ended, 'session')}, removed {counted(report.workspaces_removed, 'workspace')}"
    reason = _hindrance(report)
    return f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}  {reason or told}"


def _hindrance(report: SweepReport) -> str:
    if report.braked:
        return (
            "a large share of all sessions is due at once, so none was ended; look at the clocks and the policy, and "
            "if they are to end, use --force"
        )
    return "another process is sweeping; the rest is left to it" if report.yielded else ""


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise ValueError(text)
    return seconds
