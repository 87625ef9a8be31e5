"""`sessionguard sweep`: exit statuses for cron, a dry run, the brake, passes at intervals, and a bar on a terminal."""

import io
import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import (
    InvalidArgumentError,
    SessionGuard,
    SessionPolicy,
    StoreUnavailableError,
    SweepReport,
)
from sessionguard.cli.__main__ import main
from sessionguard.core.file_commands import RemoveWorkspace
from sessionguard.core.fleet import TakeTurn
from sessionguard.core.turns import RUN
from sessionguard.errors import WorkspaceUnavailableError
from sessionguard.stores.memory import MemoryStore
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
    assert json.loads(capsys.readouterr().out) == told | {"purged": 3}
    assert sweep("--json") == 0
    assert json.loads(capsys.readouterr().out)["ended"] == 0


def test_brake_is_status_1_until_forced(path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Cron mails the line; nothing was ended."""
    expired(path, work, 120)
    for arguments, how_many in (((), "at least 100 of 1"), (("--dry-run",), "a large share of all")):
        assert sweep(*arguments) == 1
        printed = capsys.readouterr()
        assert "braked              yes" in printed.out
        assert printed.err.startswith(f"sessionguard: {how_many}")
        assert printed.err.count("\n") == 1
        assert "--dry-run --force" in printed.err
    assert sweep("--dry-run", "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ended"] == 120
    assert sweep("--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ended"] == 120


@pytest.mark.parametrize("brake, status", [("0.5", 1), ("off", 0)])
def test_brake_can_be_moved(path: Path, work: Path, sweep: Any, brake: str, status: int) -> None:
    """To what the guards of the application have."""
    expired(path, work, 120)
    assert sweep("--json", "--brake", brake) == status
    assert sweep("--json", "--dry-run", "--brake", brake) == status


def test_files_that_cannot_be_removed_are_status_1(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cron mails why, once; the next pass removes them."""
    expired(path, work, 3)

    def fail(command: RemoveWorkspace, files: Any) -> Any:
        raise OSError(5, "the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(RemoveWorkspace, "apply", fail)
        assert sweep() == 1
    printed = capsys.readouterr()
    assert "failed              3\n" in printed.out
    assert printed.err == (
        "sessionguard: the files of 3 sessions could not be removed, the next pass tries again: "
        "OSError: [Errno 5] the disk is gone\n"
    )
    # Forgotten meanwhile, for all that was years ago: an orphan.
    assert sweep("--json", "--orphan-age", "0.000001") == 0
    assert json.loads(capsys.readouterr().out)["workspaces_removed"] == 1


def test_age_of_orphans_is_an_option(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the guards of the application have it."""
    with (
        SessionGuard.open(f"sqlite:///{path}", work, sweep_interval=None) as guard,
        guard.workspace(guard.create("ada")) as files,
    ):
        files.write("a", b"1")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM sg_session")
    removed = []
    for options in ((), ("--orphan-age", "1000"), ("--orphan-age", "0.000001")):
        assert sweep("--json", *options) == 0
        removed.append(json.loads(capsys.readouterr().out)["workspaces_removed"])
    assert removed == [0, 0, 1]


@pytest.mark.parametrize(
    "option, value, says",
    [
        ("--watch", "0", "'0' is no number of seconds above zero"),
        ("--watch", "soon", "'soon' is no number of seconds above zero"),
        ("--orphan-age", "-1", "'-1' is no number of seconds above zero"),
        ("--limit", "x", "'x' is no whole number above zero"),
        ("--brake", "1", "'1' is no share above 0 and below 1, and not 'off'"),
        ("--brake", "20%", "'20%' is no share above 0 and below 1, and not 'off'"),
    ],
)
def test_numbers_are_refused_by_the_option(
    sweep: Any, capsys: pytest.CaptureFixture[str], option: str, value: str, says: str
) -> None:
    """In one line, with status 2."""
    with pytest.raises(SystemExit) as refused:
        sweep(f"{option}={value}")
    assert refused.value.code == 2
    assert capsys.readouterr().err == f"sessionguard: argument {option}: {says}; see sessionguard sweep --help\n"


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
    assert [line.rpartition(" ")[2] for line in shown] == [f"{count}/450" for count in range(451)]
    assert shown[-1].count("#") == 30
    assert drawn.endswith("\r\033[K")
    report = capsys.readouterr().out
    assert "ended               450" in report
    assert "workspaces removed  1" in report
    assert "bytes freed         10" in report


def test_a_terminal_changes_nothing_but_the_bar(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass, braked or not, with one look for garbage and no look into what it removes."""
    expired(path, work, 120)
    calls: list[dict[str, Any]] = []
    inner = SessionGuard.sweep

    def watched(guard: SessionGuard, *arguments: Any, **options: Any) -> SweepReport:
        calls.append(options)
        return inner(guard, *arguments, **options)

    monkeypatch.setattr(SessionGuard, "sweep", watched)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Terminal())
        assert [sweep(), sweep("--force", "--limit", "50"), sweep("--force")] == [1, 0, 0]
    assert [(call["force"], call["in_turn"]) for call in calls] == [(False, True), (True, True), (True, True)]
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("ended")] == [
        "0",
        "50",
        "70",
    ]


def test_progress_needs_no_ability_of_the_store() -> None:
    """A store that cannot count what is due is swept all the same, and told of up to the limit."""

    class Plain:
        """Knows no fleet."""

        def __init__(self) -> None:
            self._inner = MemoryStore()

        def __getattr__(self, name: str) -> Any:
            if name in {"census", "find_due", "take_turn", "give_turn"}:
                raise AttributeError(name)
            return getattr(self._inner, name)

    clock = [LONG_AGO]
    store: Any = Plain()
    with SessionGuard(store, clock=lambda: clock[0], sweep_interval=None) as guard:
        for _ in range(3):
            guard.create("ada")
        clock[0] += timedelta(days=30)
        told: list[tuple[int, int]] = []
        assert guard.sweep(10, in_turn=True, progress=lambda *counts: told.append(counts)).ended == 3
    assert told == [(0, 10), (1, 10), (2, 10), (3, 10)]


def test_watch_outlives_a_store_that_is_away(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is told in one line, and the next pass comes at its time; what no waiting mends ends it."""
    expired(path, work, 1)
    errors: list[Exception] = [
        StoreUnavailableError("sqlite", "sweep", "the database is locked"),
        WorkspaceUnavailableError("0" * 34, "remove", "no answer"),
        OSError(5, "Input/output error"),
    ]
    inner, waits = SessionGuard.sweep, list[float]()

    def failing(guard: SessionGuard, *arguments: Any, **options: Any) -> SweepReport:
        if errors:
            raise errors.pop(0)
        return inner(guard, *arguments, **options)

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(SessionGuard, "sweep", failing)
    monkeypatch.setattr(time, "sleep", wait)
    assert sweep("--watch", "5", "--json") == 130
    printed = capsys.readouterr()
    assert [json.loads(line)["ended"] for line in printed.out.splitlines()] == [1]
    lines = printed.err.splitlines()
    assert [line.endswith("the next pass tries again") for line in lines] == [True, True, True, False]
    assert "sqlite store: the database is locked" in lines[0]
    assert waits == [5.0] * 4
    errors.append(InvalidArgumentError("limit", 0, "give at least 1"))
    assert sweep("--watch", "5") == 2


def test_watch_goes_on_at_once_while_more_is_due(
    path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit bounds a pass and not what is done in a minute; a dry run, after which all is as it was, waits."""
    expired(path, work, 7)

    def wait(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", wait)
    assert sweep("--watch", "--limit", "3", "--json", "--dry-run") == 130
    assert sweep("--watch", "--limit", "3", "--json") == 130
    ended = [json.loads(line)["ended"] for line in capsys.readouterr().out.splitlines()]
    assert ended == [3, 3, 3, 1]


def test_history_is_forgotten_from_cron(path: Path, work: Path, sweep: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing sweeps in the background, the command forgets what is over; not in a dry run, nor while braked."""
    policy = SessionPolicy(history_retention=timedelta(microseconds=1))
    with SessionGuard.open(f"sqlite:///{path}", policy=policy, sweep_interval=None) as guard:
        ended = guard.create("ada")
        guard.end(ended)
        expired(path, work, 120)
        assert sweep("--json", "--dry-run") == 1
        assert sweep("--json") == 1
        assert [json.loads(text + "}")["purged"] for text in capsys.readouterr().out.split("}\n") if text] == [None, 0]
        assert guard.get(ended.id) is not None
        assert sweep("--json", "--force") == 0
        assert json.loads(capsys.readouterr().out)["purged"] >= 1
        assert guard.get(ended.id) is None
