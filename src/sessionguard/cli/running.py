"""Finds the command asked for among some, runs it, and turns errors into one line and a status."""

import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol

from sessionguard import __version__
from sessionguard.cli import status
from sessionguard.cli.demo.failure import DemoError
from sessionguard.cli.failure import CommandError, told
from sessionguard.cli.target import Application
from sessionguard.errors import SessionGuardError


class CommandModule(Protocol):
    """What a module of a command offers."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the command takes."""

    def run(self, arguments: Namespace) -> int:
        """Do it and give the exit status."""


Commands = Mapping[str, tuple[CommandModule, str]]
"""The module of each command, and what it is for."""


def run(commands: Commands, arguments: Sequence[str] | None, application: Application | None = None) -> int:
    """Run one of `commands`, over the guard of `application` or the store that the arguments name; give its status."""
    try:
        parsed = _parser(commands, application).parse_args(arguments)
        module, _ = commands[parsed.command]
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


def _parser(commands: Commands, application: Application | None) -> ArgumentParser:
    name = "sessionguard" if application is None else application.command
    parser = _Parser(prog=name, description="Look after sessions, and prove that they are isolated.")
    parser.add_argument("--version", action="version", version=f"sessionguard {__version__}")
    chosen = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (module, purpose) in commands.items():
        described = chosen.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        # First: what the settings of an application say is no option of its commands.
        described.set_defaults(application=application)
        module.add_arguments(described)
    return parser
