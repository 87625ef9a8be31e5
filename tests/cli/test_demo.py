"""The demonstration from end to end: what it shows, that it can fail, and that nothing is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sessionguard.cli.demo.failure import DemoError
from sessionguard.cli.demo.servers import Servers
from sessionguard.cli.demo.settings import Settings

pytestmark = pytest.mark.processes

TOKEN = re.compile(r"sg1_[a-z0-9]{1,16}_[0-9a-f]{2}[A-Za-z0-9_-]{43}")
LIMIT_SECONDS = 60


def _environment(temporary: Path) -> dict[str, str]:
    temporary.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(temporary)}


def _demo(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an empty directory."""
    nowhere = tmp_path / "empty"
    nowhere.mkdir()
    return subprocess.run(
        [sys.executable, "-P", "-m", "sessionguard.cli", "demo", *options],
        cwd=nowhere,
        env=_environment(tmp_path / "temporary"),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _are_gone(pids: Iterable[int], *, within_seconds: float) -> bool:
    deadline = time.monotonic() + within_seconds
    while any(map(_is_running, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _findings(report: dict[str, Any], app: str) -> list[dict[str, Any]]:
    return [finding for phase in report["runs"][app] for findings in phase["rounds"] for finding in findings]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One demonstration of two rounds that ended with status 0: where it ran, and its report."""
    folder = tmp_path_factory.mktemp("demo")
    done = _demo(folder, "--json", "--rounds", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert not TOKEN.search(done.stdout)
    report: dict[str, Any] = json.loads(done.stdout)
    return folder, report


def test_bleed_is_seen_in_the_broken_app_and_absent_in_the_guarded_one(played: tuple[Path, dict[str, Any]]) -> None:
    """Every user of the broken app is sent foreign data, and no user of the guarded one."""
    _, report = played
    assert report["passed"]
    assert report["reasons"] == []
    assert [phase["title"] for phase in report["runs"]["broken"]] == ["five users", "three tabs of one browser"]
    for finding in _findings(report, "broken"):
        assert finding["foreign_markers_found"], finding
    for finding in _findings(report, "guarded"):
        assert finding["foreign_markers_found"] == [], finding
        assert finding["own_marker_found"], finding
        assert finding["files_intact"], finding
        assert finding["shapefile_damage"] is None, finding
        assert not finding["answered_with_foreign_id"], finding


def test_ids_are_shared_in_the_broken_app_and_unique_in_the_guarded_one(played: tuple[Path, dict[str, Any]]) -> None:
    """The report counts uploads and ids: one id for all in the broken app, one each in the guarded one."""
    _, report = played
    assert [(p["upload_count"], p["id_count"]) for p in report["runs"]["broken"]] == [(10, 1), (6, 1)]
    assert [(p["upload_count"], p["id_count"]) for p in report["runs"]["guarded"]] == [(10, 10), (6, 6)]
    (users,) = report["runs"]["broken"][0]["shared_ids"].values()
    assert users == ["benue", "kebbi", "ebonyi", "nasarawa", "plateau"]


def test_both_instances_serve_and_nothing_is_left(played: tuple[Path, dict[str, Any]]) -> None:
    """Two instances serve each run; afterwards no process and no file of the demonstration is left."""
    folder, report = played
    for app in ("broken", "guarded"):
        workers = {worker for finding in _findings(report, app) for worker in finding["workers"]}
        assert {worker.split("/")[0] for worker in workers} == {"A", "B"}
        # Killed as groups; on a busy machine the last of a group dies a moment after its leader.
        assert _are_gone({int(worker.split("/")[1]) for worker in workers}, within_seconds=5)
    assert list((folder / "temporary").iterdir()) == []
    assert list((folder / "empty").iterdir()) == []


def test_text_shows_tables_and_verdict_without_colour_in_a_pipe(tmp_path: Path) -> None:
    """For people there is progress, a table per scene and a verdict, plain when it is not a terminal."""
    done = _demo(tmp_path, "--rounds", "1")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert not TOKEN.search(done.stdout)
    for expected in (
        r"\[ *\d+\.\d s\] broken app: A \(pids \d+ \d+\), B \(pids \d+ \d+\) behind a round-robin on http://127",
        r"user +session +worker +was told +files +own marker +foreign markers",
        r"kebbi +[0-9a-f]{8} +[AB]/\d+ +All data is from Benue +\w+ +found +benue",
        r"kebbi +[0-9a-f]{8} +[AB]/\d+ +All data is from Kebbi +intact +found +none",
        r"5 uploads, 1 different session ids: 20 % unique; \w{8} went to benue, kebbi, ebonyi, nasarawa, plateau",
        r"5 uploads, 5 different session ids: 100 % unique",
        r"5 requests with another user's id: 0 answered",
        r"Verdict: PASSED in \d+\.\d s",
    ):
        assert re.search(expected, done.stdout), expected


def test_a_guarded_app_that_trusts_the_form_fails(tmp_path: Path) -> None:
    """With the bug planted into the guarded app the status is 1, and the reasons name users and the shared id."""
    done = _demo(tmp_path, "--json", "--rounds", "1", "--plant", "trust-form-id")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["bleed_seen_in_broken_app"], report["guarded_app_is_clean"]) == (True, False)
    assert any("kebbi was sent data of benue" in reason for reason in report["reasons"])
    assert any("the guarded app named one id" in reason for reason in report["reasons"])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One that saw no bleed, and kept its files: where it ran, and its report."""
    folder = tmp_path_factory.mktemp("kept")
    done = _demo(folder, "--json", "--rounds", "1", "--plant", "no-bleed", "--keep")
    assert done.returncode == 1
    report: dict[str, Any] = json.loads(done.stdout)
    return folder, report


def test_a_first_run_without_the_bug_fails(kept: tuple[Path, dict[str, Any]]) -> None:
    """If the bleed cannot be seen where it must be, the status is 1."""
    _, report = kept
    assert (report["bleed_seen_in_broken_app"], report["guarded_app_is_clean"]) == (False, True)


def test_keep_keeps_the_files(kept: tuple[Path, dict[str, Any]]) -> None:
    """With `--keep` uploads, database and logs stay, for this user alone, and the report says where."""
    where, report = kept
    folder = Path(report["folder"])
    assert folder.parent == where / "temporary"
    assert (folder / "guarded" / "sessions.db").is_file()
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_an_interruption(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and termination end every process and remove the files; even after a kill the servers end themselves."""
    temporary = tmp_path / "temporary"
    process = subprocess.Popen(
        [sys.executable, "-m", "sessionguard.cli", "demo", "--rounds", "20"],
        env=_environment(temporary),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "behind a round-robin" in line)
        pids = [int(pid) for pids in re.findall(r"\(pids ([\d ]+)\)", line) for pid in pids.split()]
        assert len(pids) == 4
        process.send_signal(number)
        process.communicate(timeout=LIMIT_SECONDS)
    assert _are_gone(pids, within_seconds=15)
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("rounds", ["0", "21", "-1"])
def test_rounds_are_bounded(tmp_path: Path, rounds: str) -> None:
    """A number of rounds that makes no sense is refused with one line and status 2."""
    done = _demo(tmp_path, "--rounds", rounds)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sessionguard: --rounds takes 1 to 20\n"


def test_a_missing_package_is_explained(tmp_path: Path) -> None:
    """Without gunicorn the command says what to install, and has status 2."""
    code = (
        "import sys, importlib.util as util\n"
        "known = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'gunicorn' else known(name, package)\n"
        "from sessionguard.cli.__main__ import main\n"
        "sys.exit(main(['demo']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "pip install 'gunicorn' (or the extra [demo] of sessionguard)" in done.stderr


class _BrokenSettings(Settings):
    def store(self) -> Path:
        path = super().store()
        path.write_text("{}")
        return path


def test_servers_that_cannot_start_are_an_error(tmp_path: Path) -> None:
    """An instance that ends before it serves is reported with its last words, and the others are ended."""
    servers = Servers(_BrokenSettings.new("broken", tmp_path))
    with pytest.raises(DemoError, match=r"instance [AB] did not start: TypeError: .*"), servers:
        pass
    assert len(servers.instances) == 2
    assert all(instance.process.returncode is not None for instance in servers.instances)


def test_a_machine_without_a_free_port_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no port can be had the demonstration says so; nothing was started."""
    monkeypatch.setattr("sessionguard.cli.demo.servers.LOOPBACK", "192.0.2.1")
    servers = Servers(Settings.new("broken", tmp_path))
    with pytest.raises(DemoError, match=r"^no port is free on 192\.0\.2\.1: "), servers:
        pass
    assert servers.instances == []


def test_a_place_without_room_is_an_error(tmp_path: Path) -> None:
    """Where no temporary directory can be made the command says so in one line, with status 2."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    code = (
        "import sys, tempfile\n"
        "def refuse(*_, **__): raise OSError(28, 'No space left on device')\n"
        "tempfile.mkdtemp = refuse\n"
        "from sessionguard.cli.__main__ import main\n"
        "sys.exit(main(['demo', '--json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sessionguard: [Errno 28] No space left on device\n"


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    """Piped into a reader that stops early, the command ends its processes and complains about nothing."""
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m sessionguard.cli demo | head -n 1"],
        env=_environment(tmp_path / "temporary"),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert list((tmp_path / "temporary").iterdir()) == []
