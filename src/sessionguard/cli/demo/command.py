"""`sessionguard demo`: parses, performs, prints."""

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace

from sessionguard.cli import status
from sessionguard.cli.demo.failure import DemoError
from sessionguard.cli.demo.interruption import Interruption
from sessionguard.cli.demo.packages import require_packages

MAX_ROUNDS = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each scene is played (default 3)")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON, without progress")
    parser.add_argument("--keep", action="store_true", help="keep the directory with uploads, database and logs")
    parser.add_argument(
        "--plant",
        choices=["trust-form-id", "no-bleed"],
        help="see the check fail: let the guarded app trust the client's id, or play the first run without the bug",
    )


def run(arguments: Namespace) -> int:
    """Perform and report; the status says whether the bleed was seen, and only in the broken app."""
    require_packages()
    # Here, not above: they import those packages, which no other command needs.
    from sessionguard.cli.demo.performance import perform
    from sessionguard.cli.demo.report import Style, as_json, as_text

    if not 1 <= arguments.rounds <= MAX_ROUNDS:
        raise DemoError(f"--rounds takes 1 to {MAX_ROUNDS}")
    progress = _silent if arguments.json else _Narrator()
    with Interruption() as interruption:
        performance = perform(
            rounds=arguments.rounds,
            plant=arguments.plant,
            keep=arguments.keep,
            progress=progress,
            check=interruption.check,
        )
    if arguments.json:
        print(json.dumps(as_json(performance), indent=2))
    else:
        print(as_text(performance, Style(sys.stdout.isatty() and "NO_COLOR" not in os.environ)))
    return status.OK if performance.verdict.is_passed else status.FAILED


class _Narrator:
    """Prints each step with the time since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, message: str) -> None:
        print(f"[{time.monotonic() - self._started:4.1f} s] {message}", flush=True)


def _silent(message: str) -> None:
    del message
