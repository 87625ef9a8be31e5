"""`sessionguard sweep`: ends what has expired and removes its files, once or at intervals."""

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, NoReturn

from attrs import asdict, frozen

from sessionguard import SessionGuard, SweepReport
from sessionguard.cli import status
from sessionguard.cli.failure import told
from sessionguard.cli.numbers import seconds, share, whole_number
from sessionguard.cli.output import counted, json_line, print_fields, print_json, visible
from sessionguard.cli.progress import Bar
from sessionguard.cli.target import add_store_arguments, application_of, is_of_application, opened_guard
from sessionguard.core.braking import SweepBrake
from sessionguard.core.events import CleanupFailed, Event, SweepBraked
from sessionguard.core.setting import DEFAULT_ORPHAN_AGE
from sessionguard.errors import StoreError, WorkspaceError

_INTERVAL_SECONDS: Final = 60.0
_TELLING: Final = (SweepBraked, CleanupFailed)


@frozen
class _Done:
    """What came of a pass."""

    report: SweepReport
    purged: int | None
    """Ended sessions that were forgotten; a dry run does not look for them."""
    events: list[Event]
    """What was told meanwhile of the brake and of files that could not be removed."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--limit", type=whole_number, default=1000, metavar="N", help="at most so many sessions (default 1000)"
    )
    parser.add_argument("--force", action="store_true", help="go on though a large share of all sessions is due")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and change nothing")
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=_INTERVAL_SECONDS,
        metavar="SECONDS",
        help="sweep again and again until interrupted, every minute unless said otherwise",
    )
    if not is_of_application(parser):
        _add_settings(parser)
    add_store_arguments(parser, with_workspaces=True)


def _add_settings(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--brake",
        type=share,
        default=SweepBrake().share,
        metavar="SHARE",
        help=f"end none if more than this share of all sessions is due, or 'off' (default {SweepBrake().share:g})",
    )
    parser.add_argument(
        "--orphan-age",
        type=seconds,
        default=DEFAULT_ORPHAN_AGE.total_seconds(),
        metavar="SECONDS",
        help="leave alone files without a session that changed within so long "
        f"(default {DEFAULT_ORPHAN_AGE.total_seconds():g})",
    )


def _settings_of(arguments: Namespace) -> dict[str, Any]:
    """Give what a guard that is opened for this command is to know; an application's has its own settings."""
    if application_of(arguments) is not None:
        return {}
    brake = None if arguments.brake is None else SweepBrake(share=arguments.brake)
    return {"brake": brake, "orphan_age": timedelta(seconds=arguments.orphan_age)}


def run(arguments: Namespace) -> int:
    """Sweep and report; the status says whether the brake held or files could not be removed."""
    with opened_guard(arguments, **_settings_of(arguments)) as guard:
        if arguments.watch is not None:
            _watch(guard, arguments)
        done = _pass(guard, arguments)
        _show(done, arguments)
        return status.FAILED if done.report.braked or done.report.failed else status.OK


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
    events: list[Event] = []
    stop = guard.subscribe(lambda event: events.append(event) if isinstance(event, _TELLING) else None)
    try:
        return _Done(*_swept(guard, arguments), events)
    finally:
        stop()


def _swept(guard: SessionGuard, arguments: Namespace) -> tuple[SweepReport, int | None]:
    if arguments.dry_run:
        return guard.sweep(arguments.limit, force=arguments.force, dry_run=True), None
    with _progress(arguments) as progress:
        report = guard.sweep(arguments.limit, force=arguments.force, in_turn=True, progress=progress)
    purged = 0
    # As in the background: who must not end sessions must not forget any either, and whoever else sweeps forgets, too.
    while not report.braked and not report.yielded:
        part = guard.purge()
        purged += part.purged
        if not part.has_more or not part.purged:
            break
    return report, purged


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
    for reason in _hindrances(done):
        print(f"sessionguard: {reason}", file=sys.stderr)


def _fields(done: _Done) -> dict[str, object]:
    return asdict(done.report) | {"purged": done.purged}


def _line(done: _Done) -> str:
    report = done.report
    line = f"ended {counted(report.ended, 'session')}, removed {counted(report.workspaces_removed, 'workspace')}"
    if done.purged:
        line += f", forgot {counted(done.purged, 'session')}"
    if report.has_more:
        line += ", more are due"
    if report.failed and not report.braked:
        line = "; ".join((line, *_hindrances(done)))
    elif report.braked or report.yielded:
        line = "; ".join(_hindrances(done))
    return f"{time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}  {line}"


def _hindrances(done: _Done) -> Iterator[str]:
    report = done.report
    if report.braked:
        counts = [(event.due, event.active) for event in done.events if isinstance(event, SweepBraked)]
        # A dry run tells nobody else, and so does not tell how many.
        many = "at least {} of {} sessions are".format(*counts[0]) if counts else "a large share of all sessions is"
        yield (
            f"{many} due at once, so none was ended; look at the clocks and the policy, and with --dry-run --force at "
            "what would end; --force ends it, --brake SHARE, or of an application SESSIONGUARD_SWEEP_BRAKE, moves it"
        )
    elif report.yielded:
        yield "another process is sweeping; the rest is left to it"
    if report.failed:
        errors = [event.error for event in done.events if isinstance(event, CleanupFailed)]
        why = f": {visible(errors[0])}" if errors else ""
        yield f"the files of {counted(report.failed, 'session')} could not be removed, the next pass tries again{why}"
