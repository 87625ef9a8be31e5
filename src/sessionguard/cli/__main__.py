"""The command `sessionguard`: finds the command asked for, runs it, and turns errors into one line and a status."""

import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol

from sessionguard import __version__
from sessionguard.cli import adopt, contract, doctor, end, listing, migrate, replay, show, stats, status, sweep
from sessionguard.cli.demo import command as demo
from sessionguard.cli.demo.failure import DemoError
from sessionguard.cli.failure import CommandError, told
from sessionguard.errors import SessionGuardError


class CommandModule(Protocol):
    """What a module of a command offers."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the command takes."""

    def run(self, arguments: Namespace) -> int:
        """Do it and give the exit status."""


COMMANDS: dict[str, tuple[CommandModule, str]] = {
    "demo": (demo, "show shared upload sessions in a broken app, and their absence in a guarded one"),
    "list": (listing, "list the sessions of a store"),
    "show": (show, "show one session"),
    "end": (end, "end one session, or all of an owner"),
    "sweep": (sweep, "end what has expired and remove its files"),
    "stats": (stats, "count sessions, and check that no slot holds two"),
    "doctor": (doctor, "examine a store and its surroundings"),
    "migrate": (migrate, "bring the schema of a store up to date"),
    "adopt": (adopt, "let a table of PostgreSQL keep to one active session per slot"),
    "contract": (contract, "put a store of your own to the contract kit, without writing a test"),
    "replay": (replay, "run the schedule of a saved race again, and say whether it still fails"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    try:
        parsed = _parser().parse_args(arguments)
        module, _ = COMMANDS[parsed.command]
        with _quiet_logs():
            return module.run(parsed)
    except (SessionGuardError, CommandError, DemoError) as error:
        print(f"sessionguard: {told(error)}", file=sys.stderr)
        return status.UNUSABLE
    except KeyboardInterrupt:
        print("sessionguard: interrupted", file=sys.stderr)
        return status.INTERRUPTED
    except BrokenPipeError:
        # The reader has enough (`| head`). Nothing may be flushed into the closed pipe at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status.OK
    except OSError as error:
        print(f"sessionguard: {error}", file=sys.stderr)
        return status.UNUSABLE


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep off standard error what the commands tell themselves, and cron would mail twice, or at every run."""
    loggers = [logging.getLogger(f"sessionguard.{name}") for name in ("sqlite", "background")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one line instead of the whole usage."""
        self.exit(status.UNUSABLE, f"sessionguard: {message}; see {self.prog} --help\n")


def _parser() -> ArgumentParser:
    parser = _Parser(prog="sessionguard", description="Look after sessions, and prove that they are isolated.")
    parser.add_argument("--version", action="version", version=f"sessionguard {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (module, purpose) in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."))
    return parser


if __name__ == "__main__":
    sys.exit(main())
