"""`sessionguard sweep`: ends what has expired and removes its files, once or at intervals."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from attrs import asdict, frozen

from sessionguard import SessionGuard, SweepReport
from sessionguard.cli import status
from sessionguard.cli.failure import told
from sessionguard.cli.output import counted, json_line, print_fields, print_json
from sessionguard.cli.progress import Bar
from sessionguard.cli.target import add_store_arguments, opened_guard
from sessionguard.errors import StoreError, WorkspaceError

_INTERVAL_SECONDS: Final = 60.0


@frozen
class _Done:
    """What came of a pass."""

    report: SweepReport
    purged: int | None
    """Ended sessions that were forgotten; a dry run does not look for them."""


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
        if arguments.watch is not None:
            _watch(guard, arguments)
        done = _pass(guard, arguments)
        _show(done, arguments)
        return status.FAILED if done.report.braked else status.OK


def _watch(guard: SessionGuard, arguments: Namespace) -> NoReturn:
    """Sweep until interrupted: a store that is away for a while must not end what is to run for months."""
    while True:
        try:
            done = _pass(guard, arguments)
        except BrokenPipeError:
            raise
        except (StoreError, WorkspaceError, OSError) as error:
            print(f"sessionguard: {told(error)}; the next pass tries again", file=sys.stderr, flush=True)
        else:
            print(json_line(_fields(done)) if arguments.json else _line(done), flush=True)
            if done.report.has_more and done.report.ended and not arguments.dry_run:
                continue
        time.sleep(arguments.watch)


def _pass(guard: SessionGuard, arguments: Namespace) -> _Done:
    if arguments.dry_run:
        return _Done(guard.sweep(arguments.limit, force=arguments.force, dry_run=True), None)
    with _progress(arguments) as progress:
        report = guard.sweep(arguments.limit, force=arguments.force, in_turn=True, progress=progress)
    purged = 0
    # As in the background: who must not end sessions must not forget any either, and whoever else sweeps forgets, too.
    while not report.braked and not report.yielded:
        part = guard.purge()
        purged += part.purged
        if not part.has_more or not part.purged:
            break
    return _Done(report, purged)


@contextmanager
def _progress(arguments: Namespace) -> Iterator[Callable[[int, int], object] | None]:
    if arguments.json or not sys.stderr.isatty():
        yield None
        return
    with Bar(sys.stderr, "sweeping") as bar:
        yield bar.show


def _show(done: _Done, arguments: Namespace) -> None:
    if arguments.json:
        print_json(_fields(done))
        return
    print_fields({name.replace("_", " "): value for name, value in _fields(done).items()})
    reason = _hindrance(done.report)
    if reason:
        print(f"sessionguard: {reason}", file=sys.stderr)


def _fields(done: _Done) -> dict[str, object]:
    return asdict(done.report) | {"purged": done.purged}


def _line(done: _Done) -> str:
    report = done.report
    line = f"ended {counted(report.ended, 'session')}, removed {counted(report.workspaces_removed, 'workspace')}"
    if done.purged:
        line += f", forgot {counted(done.purged, 'session')}"
    reason = _hindrance(report)
    return f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}  {reason or line}"


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
