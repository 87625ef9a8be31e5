"""Subject: what a session costs a Django request, by sessionguard and by Django's own engines on the same servers."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sessionguard.testing.servers import EngineMissingError, PostgresServer, RedisServer
from tests.benchmarks.measuring import Case
from tests.benchmarks.serving import compared

CALLS = 100


class Project:
    """One browser of a Django project that runs in a process of its own."""

    def __init__(self, kind: str, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.django_process", kind, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer("ready")

    def get(self, path: str, n: int) -> float:
        """Request `path` so often, one after the other, and give how long that took."""
        assert self._process.stdin is not None
        print(path, n, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)

    def _answer(self, expected: str | None = None) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer or expected not in (None, answer):
            raise RuntimeError(f"the Django project ended with {self._process.wait(60)}")
        return answer


@contextmanager
def cases(folder: Path) -> Iterator[list[Case]]:
    """Give the cases of this subject; the database is in `folder`."""
    with ExitStack() as opened:
        bare = _opened(opened, "none", "-")
        found = [*compared("Django request", _on(opened, f"sqlite:///{folder}"), bare, CALLS)]
        for engine, server in (("Redis", RedisServer), ("PostgreSQL", PostgresServer)):
            try:
                url = opened.enter_context(_started(server)).url
            except EngineMissingError as error:
                print(error, file=sys.stderr)
                continue
            found += compared(f"{engine}, Django request", _on(opened, url), bare, CALLS)
        yield found


def _started(server: Any) -> Any:
    return server(appendonly="no") if server is RedisServer else server()


def _on(opened: ExitStack, url: str) -> dict[str, Project]:
    files = url.startswith("sqlite")
    return {
        "sessionguard": _opened(opened, "sessionguard", f"{url}/ours.db" if files else url),
        "Django": _opened(opened, "django", f"{url}/django.db" if files else url),
    }


def _opened(opened: ExitStack, kind: str, url: str) -> Project:
    project = Project(kind, url)
    opened.callback(project.close)
    return project
