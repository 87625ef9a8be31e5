"""Runs pytest for a command: without its output, which is shown only if pytest itself could not go on."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sessionguard.cli.failure import CommandError
from sessionguard.errors import MissingExtraError

if TYPE_CHECKING:
    import pytest

PACKAGES = ("pytest", "hypothesis")
"""The extra `testing`."""


class NothingThereError(CommandError):
    """The test that was named is not there, or none was selected."""


def require_testing() -> None:
    """Return if the harness can run here.

    Raises:
        MissingExtraError: a package of the extra `testing` is absent.
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError("testing", package)


class Listener:
    """What pytest tells while it runs: the report of each test, and what could not be collected."""

    def __init__(self, hear: "Callable[[pytest.TestReport], None]") -> None:
        self.uncollected: list[str] = []
        self._hear = hear

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        """Hand it on."""
        self._hear(report)

    def pytest_collectreport(self, report: "pytest.CollectReport") -> None:
        """Note what failed."""
        if report.failed:
            self.uncollected.append(str(report.longreprtext))


def run_pytest(arguments: Sequence[str], listener: Listener, *, is_isolated: bool = False) -> None:
    """Run pytest to its end; isolated, it takes no settings or plugins of this place.

    Raises:
        NothingThereError: there was nothing to run.
        CommandError: it could not go on; what it said is in the message.
        KeyboardInterrupt: it was interrupted.
    """
    import pytest

    said = io.StringIO()
    # This process has imported what pytest would prepare first; a project that takes warnings for errors must not care.
    given = [*arguments, "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with redirect_stdout(said), redirect_stderr(said), _isolated(is_isolated):
        ended = int(pytest.main(given, plugins=[listener]))
    errors = list(_errors(said.getvalue()))
    if listener.uncollected:
        raise CommandError("pytest could not collect it:\n" + "\n".join(listener.uncollected))
    if ended == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if ended == pytest.ExitCode.NO_TESTS_COLLECTED or any(line.startswith("not found: ") for line in errors):
        raise NothingThereError("; ".join(errors) or "no test was selected")
    if ended in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        raise CommandError(f"pytest could not go on: {'; '.join(errors) or said.getvalue().strip()}")


def _errors(said: str) -> Iterator[str]:
    """Give the lines in which pytest says what it could not do."""
    for line in said.splitlines():
        head, marker, told = line.partition(": error: ")
        if marker or (line.startswith("ERROR: ") and not line.startswith("ERROR: usage: ")):
            yield told if marker else head.removeprefix("ERROR: ")


@contextmanager
def _isolated(is_isolated: bool) -> Iterator[None]:
    """Keep what the environment tells pytest away from it for the block."""
    changes: dict[str, str | None] = {"PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None}
    changes["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    before = {name: os.environ.get(name) for name in changes}
    try:
        _set(changes if is_isolated else {})
        yield
    finally:
        _set(before)


def _set(changes: dict[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
