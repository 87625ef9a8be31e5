"""`make test-upstream`: the frameworks' own test suites with sessionguard in place, side by side.

Every suite runs in a process of its own, in the folder of its own sources, with its own settings for its runner.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from attrs import frozen

from tests.upstream.exclusions import FIGURES
from tests.upstream.sources import PACKAGES, REPOSITORY, pinned

TIMEOUT_SECONDS = 600
DJANGO_LABELS = (
    "tests.upstream.django_sessions",
    "sessions_tests.tests.SessionMiddlewareTests",
    "sessions_tests.tests.ClearSessionsCommandTests",
    "sessions_tests.tests.SessionBaseTests",
    "auth_tests",
    "messages_tests",
    "csrf_tests",
)
# What the caller's environment says to a framework or to pytest is not meant for these runs.
FOREIGN = ("FLASK_", "DJANGO_", "PYTEST_", "SESSIONGUARD_")


@frozen
class Suite:
    """How one run is started."""

    framework: str
    command: tuple[str, ...]
    folder: str = "."
    environment: Mapping[str, str] = {}


@frozen
class Outcome:
    """What a run said."""

    status: int
    output: str

    @property
    def figures(self) -> str | None:
        """The line that its ledger wrote at the end; None if it did not come to that."""
        lines = [line for line in self.output.splitlines() if FIGURES.match(line)]
        return lines[-1] if lines else None

    @property
    def is_green(self) -> bool:
        """Whether the suite says so itself, and wrote its figures."""
        return self.status == 0 and self.figures is not None


def _pytest(plugin: str, *arguments: str) -> tuple[str, ...]:
    # Without `-P`, the folder that Starlette's suite is run in would have the name `tests` before our plugin is found.
    # Only the plugins that the suite is written for: those of this project would change how it runs. They come first,
    # because ours imports the framework, which imports what they are to be rewritten from.
    options = ("-q", "-p", "no:cacheprovider", *arguments, "-p", f"tests.upstream.{plugin}")
    return ("-P", "-m", "pytest", *options)


def _django(table: str) -> Suite:
    settings = "--settings=tests.upstream.django_settings"
    # In one process: each would have a guard of its own, and the suites run side by side anyway.
    command = ("runtests.py", settings, "--parallel=1", "--verbosity=0", *DJANGO_LABELS)
    return Suite("django", command, "tests", {"UPSTREAM_TABLE": table})


SUITES: Mapping[str, Suite] = {
    "flask": Suite("flask", _pytest("flask_suite")),
    "starlette": Suite("starlette", _pytest("starlette_suite", "-p", "anyio", "tests/middleware/test_session.py")),
    "django-engine": _django("django-engine"),
    "django-app": _django("django-app"),
}


def main(names: Sequence[str]) -> int:
    """Run the suites called `names`, or all; give the exit status."""
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"test-upstream: there is no suite {unknown[0]!r}; there are: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
        runs = {name: pool.submit(run, SUITES[name]) for name in names or SUITES}
        outcomes = {name: running.result() for name, running in runs.items()}
    red = [name for name, outcome in outcomes.items() if not outcome.is_green]
    for name in red:
        print(f"--- {name}\n{outcomes[name].output}")
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome.figures or 'did not come to its end'}")
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{spent.ru_utime + spent.ru_stime:.0f} s of CPU in {time.monotonic() - started:.0f} s")
    if red:
        print(f"test-upstream: red: {', '.join(red)}; one alone: make test-upstream ARGS={red[0]}", file=sys.stderr)
    return 1 if red else 0


def run(suite: Suite) -> Outcome:
    """Run `suite` to its end, or until it has taken too long."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{PACKAGES}{os.pathsep}{REPOSITORY}"}
    try:
        done = subprocess.run(
            [sys.executable, *suite.command],
            cwd=pinned()[suite.framework].folder / suite.folder,
            env={**environment, **suite.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        # Bytes, whatever was asked for: https://github.com/python/cpython/issues/87597
        output = error.output.decode(errors="replace") if isinstance(error.output, bytes) else ""
        return Outcome(1, f"{output}\nstopped after {TIMEOUT_SECONDS} s")
    return Outcome(done.returncode, done.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
