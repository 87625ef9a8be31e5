"""`sessionguard sweep`: exit statuses for cron, a dry run, the brake, passes at intervals, and a bar on a terminal."""

import io
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard, SessionPolicy
from sessionguard.cli.__main__ import main
from sessionguard.core.fleet import TakeTurn
from sessionguard.core.turns import RUN
from sessionguard.stores.sqlite import SQLiteStore

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database."""
    return tmp_path / "sessions.db"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The workspaces."""
    return tmp_path / "work"


@pytest.fixture
def sweep(path: Path, work: Path) -> Callable[..., int]:
    """Runs the command."""
    return lambda *arguments: main(["sweep", *arguments, "--store", f"sqlite:///{path}", "--workspaces", str(work)])


def expired(path: Path, work: Path, count: int) -> None:
    """Make sessions whose time was over long ago, the first with a file."""
    policy = SessionPolicy(idle_timeout=timedelta(hours=1))
    with SessionGuard.open(f"sqlite:///{path}", work, policy, clock=lambda: LONG_AGO, sweep_interval=None) as guard:
        for number in range(count):
            session = guard.create("ada")
            if number == 0:
                with guard.workspace(session) as files:
                    files.write("a.bin", b"x" * 10)


def test_dry_run_changes_nothing(path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints what the sweep then does."""
    expired(path, work, 3)
    assert sweep("--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ended"], told["workspaces_removed"], told["bytes_freed"]) == (3, 1, 10)
    assert sweep("--json") == 0
    assert json.loads(capsys.readouterr().out) == told
    assert sweep("--json") == 0
    assert json.loads(capsys.readouterr().out)["ended"] == 0


def test_brake_is_status_1_until_forced(path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Cron mails the line; nothing was ended."""
    expired(path, work, 120)
    for arguments in ((), ("--dry-run",)):
        assert sweep(*arguments) == 1
        printed = capsys.readouterr()
        assert "braked              yes" in printed.out
        assert "use --force" in printed.err
    assert sweep("--dry-run", "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ended"] == 120
    assert sweep("--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ended"] == 120


@pytest.mark.parametrize("limit, more", [(2, True), (3, False), (4, False)])
def test_limit_is_kept(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], limit: int, more: bool
) -> None:
    """In a dry run and in a pass; that there is more is no failure."""
    expired(path, work, 3)
    for arguments in (("--dry-run",), ()):
        assert sweep("--json", "--limit", str(limit), *arguments) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["ended"], told["has_more"]) == (min(limit, 3), more)


def test_turn_of_another_is_no_failure(path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Two cron jobs that meet are not worth a mail from both."""
    expired(path, work, 1)
    store = SQLiteStore(path)
    store.take_turn(TakeTurn(RUN, "another", None, 60_000_000))
    store.close()
    assert sweep("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ended"], told["yielded"]) == (0, True)
    assert sweep() == 0
    assert "another process is sweeping" in capsys.readouterr().err


def test_watch_sweeps_until_interrupted(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line a pass, whatever comes of it, and status 130 for Ctrl-C."""
    expired(path, work, 2)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", wait)
    assert sweep("--watch", "5", "--json") == 130
    assert [json.loads(line)["ended"] for line in capsys.readouterr().out.splitlines()] == [2, 0]
    assert waits == [5.0, 5.0]
    waits.clear()
    assert sweep("--watch") == 130
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[2] for line in lines] == ["ended 0 sessions, removed 0 workspaces"] * 2
    assert waits == [60.0, 60.0]


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan"])
def test_interval_is_checked(sweep: Any, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, in one line."""
    with pytest.raises(SystemExit) as ended:
        sweep(f"--watch={seconds}")
    assert ended.value.code == 2
    assert "--watch" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_brake_and_limit_hold_with_a_bar(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it sweeps in parts, of which only the first asks the brake."""
    expired(path, work, 300)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Terminal())
        statuses = [sweep(), sweep("--force", "--limit", "50"), sweep("--force", "--limit", "210")]
    assert statuses == [1, 0, 0]
    told = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.startswith(("ended", "has more"))]
    assert told == ["0", "no", "50", "yes", "210", "yes"]


def test_terminal_shows_a_bar(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fills as sessions end, is wiped away, and the report is that of the whole."""
    expired(path, work, 450)
    with monkeypatch.context() as patch:
        terminal = Terminal()
        patch.setattr(sys, "stderr", terminal)
        assert sweep("--force") == 0
        drawn = terminal.getvalue()
    shown = [line for line in drawn.split("\r") if line.startswith("sweeping")]
    assert [line.rpartition(" ")[2] for line in shown] == ["200/450", "400/450", "450/450"]
    assert shown[-1].count("#") == 30
    assert drawn.endswith("\r\033[K")
    report = capsys.readouterr().out
    assert "ended               450" in report
    assert "workspaces removed  1" in report
    assert "bytes freed         10" in report
