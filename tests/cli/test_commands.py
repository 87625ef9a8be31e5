"""The commands over a store: what they print, their exit statuses, and that no token gets out."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from sessionguard import Session, SessionGuard, SessionPolicy
from sessionguard.cli import application
from sessionguard.cli.__main__ import COMMANDS, main
from sessionguard.cli.application import LOOKING_AFTER
from sessionguard.cli.output import visible

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@define
class Outcome:
    """What one run of the command line gave."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.out)


SETTINGS = {"--store", "--workspaces", "--brake", "--orphan-age"}
"""What the settings of an application say."""
ELSEWHERE = "files are left to the application; --workspaces says where they are"


class CommandLine:
    """Runs commands on one store and remembers everything they print."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.url = f"sqlite:///{folder}/sessions.db"
        self.workspaces = folder / "workspaces"
        self.printed = ""
        self._capture = capture

    def __call__(self, command: str, *arguments: str) -> Outcome:
        """Run one command on the store."""
        return self.plain(command, *arguments, "--store", self.url)

    def plain(self, *arguments: str) -> Outcome:
        """Run the command line with nothing added."""
        try:
            status = main(arguments)
        except SystemExit as exit:
            status = int(exit.code or 0)
        return self._outcome(status)

    def of_application(self, guard: SessionGuard, *arguments: str) -> Outcome:
        """Run a command of the application that has `guard`."""
        try:
            status = application.run(guard, "flask sessionguard", arguments)
        except SystemExit as exit:
            status = int(exit.code or 0)
        return self._outcome(status)

    def _outcome(self, status: int) -> Outcome:
        captured = self._capture.readouterr()
        self.printed += captured.out + captured.err
        return Outcome(status, captured.out, captured.err)


@define
class Content:
    """The sessions in the store, and every token that was ever handed out."""

    ada: Session
    upload: Session
    bob: Session
    ended: Session

    @property
    def tokens(self) -> set[str]:
        """The secrets."""
        return {session.token for session in (self.ada, self.upload, self.bob, self.ended) if session.token}


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line, without a store in the environment."""
    monkeypatch.delenv("SESSIONGUARD_URL", raising=False)
    monkeypatch.delenv("SESSIONGUARD_WORKSPACES", raising=False)
    return CommandLine(tmp_path, capsys)


@pytest.fixture
def content(cli: CommandLine) -> Iterator[Content]:
    """A store with sessions; whatever the test prints is searched for their tokens."""
    with SessionGuard.open(cli.url, workspaces=cli.workspaces, sweep_interval=None) as guard:
        content = Content(
            ada=guard.get_or_create("ada", data={"page": 3, "draft": "dear"}),
            upload=guard.create("ada", scope="upload"),
            bob=guard.get_or_create("bob"),
            ended=guard.create("bob", scope="upload"),
        )
        guard.end(content.ended, "escalated")
    yield content
    for token in content.tokens:
        assert token not in cli.printed
    assert not re.search(r"sg1_[a-z0-9]+_", cli.printed)


def test_list_shows_active_sessions(cli: CommandLine, content: Content) -> None:
    """`list` shows active sessions with scope and owner, and how many there are."""
    done = cli("list")
    assert done.status == 0
    for session in (content.ada, content.upload, content.bob):
        assert re.search(rf"^{session.id} +{session.scope} +{session.owner} +active ", done.out, re.MULTILINE)
    assert content.ended.id not in done.out
    assert done.out.endswith("3 sessions\n")


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--owner", "ada"], {"ada", "upload"}),
        (["--scope", "upload"], {"upload"}),
        (["--owner", "ada", "--scope", "upload"], {"upload"}),
        (["--status", "ended"], {"ended"}),
        (["--status", "all"], {"ada", "upload", "bob", "ended"}),
        (["--owner", "nobody"], set()),
    ],
)
def test_list_is_narrowed(cli: CommandLine, content: Content, options: list[str], expected: set[str]) -> None:
    """`list` is narrowed by owner, scope and status; none is an answer, too."""
    done = cli("list", "--json", *options)
    assert done.status == 0
    shown = {session["session_id"] for session in done.json()["sessions"]}
    assert shown == {getattr(content, name).id for name in expected}


def test_list_is_bounded(cli: CommandLine, content: Content) -> None:
    """`list` stops at its limit and says that there is more."""
    assert cli("list", "--limit", "2", "--json").json()["has_more"] is True
    assert cli("list", "--limit", "3", "--json").json()["has_more"] is False
    assert cli("list", "--limit", str(10**30), "--json").json()["has_more"] is False
    assert cli("list", "--limit", "2").out.endswith("2 sessions, and there are more (--limit)\n")


@pytest.mark.parametrize("command", ["list", "sweep"])
@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_is_above_zero(cli: CommandLine, content: Content, command: str, limit: str) -> None:
    """A limit that lets nothing through is refused alike by every command that has one."""
    done = cli(command, "--limit", limit)
    assert (done.status, done.out) == (2, "")
    says = f"argument --limit: {limit!r} is no whole number above zero; see sessionguard {command} --help"
    assert done.err == f"sessionguard: {says}\n"


def test_one_is_not_several(cli: CommandLine) -> None:
    """One session and one slot are told in the singular."""
    with SessionGuard.open(cli.url, sweep_interval=None) as guard:
        guard.get_or_create("ada")
    assert cli("list").out.endswith("\n1 session\n")
    assert cli("stats").out.endswith("\n1 session; 1 slot in use, 0 with more than one active session\n")


def test_show_gives_data_as_json(cli: CommandLine, content: Content) -> None:
    """`show --data` prints the values as JSON, what is true or not as yes or no, also what would steer a terminal."""
    out = cli("show", content.ada.id, "--data").out
    assert re.search(r"^exclusive +yes$", out, re.MULTILINE)
    found = re.search(r"^data +(\{.*\})$", out, re.MULTILINE)
    assert found is not None
    assert json.loads(found[1]) == {"page": 3, "draft": "dear"}
    data = {"name": 'Zoë \x9b\u202e\U000e0001\n"', "none": None, "yes": True}
    with SessionGuard.open(cli.url, sweep_interval=None) as guard:
        session = guard.create("eve", data=data)
    out = cli("show", session.id, "--data").out
    found = re.search(r"^data +(\{.*\})$", out, re.MULTILINE)
    assert found is not None
    assert json.loads(found[1]) == data
    printed = cli("show", session.id, "--data", "--json")
    assert printed.json()["data"] == data
    for text in (out, printed.out):
        assert "Zoë" in text
        assert all(mark.isprintable() for mark in text.replace("\n", ""))


def test_show_gives_all_but_token_and_data(cli: CommandLine, content: Content) -> None:
    """`show` gives the fields of a session and the names in its data; the values only when asked for."""
    done = cli("show", content.ada.id)
    assert done.status == 0
    assert re.search(r"^owner +ada$", done.out, re.MULTILINE)
    assert re.search(r"^data +draft, page$", done.out, re.MULTILINE)
    assert "dear" not in done.out
    fields = cli("show", content.ada.id, "--json", "--data").json()
    assert fields["data"] == {"page": 3, "draft": "dear"}
    assert (fields["scope"], fields["status"], fields["exclusive"]) == ("default", "active", True)
    assert datetime.fromisoformat(fields["expires_at"]) > datetime.now(UTC)


def test_show_gives_an_ended_session_with_its_reason(cli: CommandLine, content: Content) -> None:
    """`show` finds ended sessions as well."""
    fields = cli("show", content.ended.id, "--json").json()
    assert (fields["status"], fields["reason"]) == ("ended", "escalated")
    assert fields["ended_at"] is not None


@pytest.mark.parametrize("command", ["show", "end"])
def test_unknown_session_is_status_one(cli: CommandLine, content: Content, command: str) -> None:
    """An id that leads to no session is said so in one line, with status 1; it is not repeated."""
    for unknown in ("00" * 17, "no id", content.ada.token or ""):
        done = cli(command, unknown)
        assert (done.status, done.out) == (1, "")
        assert done.err == "sessionguard: there is no session with that id\n"


def test_end_ends_one_session(cli: CommandLine, content: Content) -> None:
    """`end` ends the session for the reason given; a second time there is nothing to end."""
    done = cli("end", content.ada.id, "--reason", "compromised")
    assert (done.status, done.out) == (0, f"ended {content.ada.id} (compromised), {ELSEWHERE}\n")
    assert cli("show", content.ada.id, "--json").json()["reason"] == "compromised"
    again = cli("end", content.ada.id)
    assert (again.status, again.err) == (1, "sessionguard: it has already ended\n")


def test_end_removes_the_workspace(cli: CommandLine, content: Content) -> None:
    """With `--workspaces` the files of the session go as well, and are counted."""
    with (
        SessionGuard.open(cli.url, workspaces=cli.workspaces, sweep_interval=None) as guard,
        guard.workspace(content.upload) as workspace,
    ):
        workspace.write("a.csv", b"12345")
    done = cli("end", content.upload.id, "--workspaces", str(cli.workspaces), "--json")
    assert done.json() == {
        "session_id": content.upload.id,
        "reason": "revoked",
        "files_removed": 1,
        "bytes_removed": 5,
        "removal_deferred": False,
        "removal_failed": False,
    }


def test_end_ends_all_of_an_owner(cli: CommandLine, content: Content) -> None:
    """`end --owner` ends every session of the owner and nobody else's; the status says whether there were any."""
    assert cli("end", "--owner", "ada", "--scope", "upload", "--json").json() == {"owner": "ada", "ended": 1}
    assert cli("end", "--owner", "ada").out == f"ended 1 session of ada, {ELSEWHERE}\n"
    assert cli("end", "--owner", "ada").status == 1
    assert [s["owner"] for s in cli("list", "--json").json()["sessions"]] == ["bob"]


def test_end_needs_exactly_one_target(cli: CommandLine, content: Content) -> None:
    """`end` without a target, or with two, is refused with status 2."""
    assert cli("end").status == 2
    assert cli("end", content.ada.id, "--owner", "ada").status == 2


def test_sweep_ends_what_has_expired(cli: CommandLine) -> None:
    """`sweep` ends expired sessions, in batches, and reports what it did."""
    with SessionGuard.open(
        cli.url, policy=SessionPolicy(idle_timeout=timedelta(hours=1)), clock=lambda: LONG_AGO, sweep_interval=None
    ) as guard:
        for _ in range(3):
            guard.create("ada")
    first = cli("sweep", "--limit", "2", "--json")
    assert (first.status, first.json()["ended"], first.json()["has_more"]) == (0, 2, True)
    second = cli("sweep")
    assert re.search(r"^ended +1$", second.out, re.MULTILINE)
    assert re.search(r"^has more +no$", second.out, re.MULTILINE)


def test_stats_count_by_scope_and_status(cli: CommandLine, content: Content) -> None:
    """`stats` counts sessions by scope, status and reason, and the slots that hold more than one."""
    done = cli("stats", "--json")
    assert (done.status, done.json()) == (
        0,
        {
            "total": 4,
            "counts": [
                {"scope": "default", "status": "active", "reason": "", "count": 2},
                {"scope": "upload", "status": "active", "reason": "", "count": 1},
                {"scope": "upload", "status": "ended", "reason": "escalated", "count": 1},
            ],
            "slots_in_use": 2,
            "slots_with_several_active": 0,
        },
    )
    assert cli("stats").out.endswith("4 sessions; 2 slots in use, 0 with more than one active session\n")


def test_stats_report_a_crowded_slot(cli: CommandLine, content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a slot ever held two active sessions, `stats` would say so with status 1."""
    sessions = [content.ada, content.ada, content.bob]
    monkeypatch.setattr(SessionGuard, "sessions", lambda *_, **__: iter(sessions))
    done = cli("stats", "--json")
    assert (done.status, done.json()["slots_with_several_active"]) == (1, 1)


def test_doctor_examines_the_store(cli: CommandLine, content: Content) -> None:
    """`doctor` gives findings with level, subject and message; a healthy store has no problem."""
    done = cli("doctor", "--json")
    assert done.status == 0
    assert {"level", "subject", "message", "remedy"} == set(done.json()[0])
    assert {finding["level"] for finding in done.json()} <= {"ok", "warning"}
    assert re.search(r"^ok +integrity: ", cli("doctor").out, re.MULTILINE)


def test_doctor_finds_damage(cli: CommandLine, content: Content, tmp_path: Path) -> None:
    """A file that is no database is a problem: it is named with a remedy, and the status is 1."""
    for path in tmp_path.glob("sessions.db*"):
        path.unlink()
    (tmp_path / "sessions.db").write_bytes(b"this is no database " * 100)
    done = cli("doctor")
    assert done.status == 1
    assert re.search(r"^problem +\w+: .+\n +-> .+", done.out, re.MULTILINE)


def test_migrate_brings_a_new_file_up_to_date(cli: CommandLine, tmp_path: Path) -> None:
    """`migrate` names what is due without touching the file when dry, applies it, and then finds nothing to do."""
    due = cli("migrate", "--dry-run", "--json").json()
    assert due["migrations"]
    assert due["applied"] is False
    assert not (tmp_path / "sessions.db").exists()
    assert cli("migrate", "--json").json() == {"migrations": due["migrations"], "applied": True}
    assert cli("migrate").out == "the schema is up to date\n"


def test_store_comes_from_the_environment(cli: CommandLine, content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--store` the environment names the store."""
    monkeypatch.setenv("SESSIONGUARD_URL", cli.url)
    assert len(cli.plain("list", "--json").json()["sessions"]) == 3


@pytest.mark.parametrize(
    "command", [["list"], ["show", "x"], ["end", "x"], ["sweep"], ["stats"], ["doctor"], ["migrate"]]
)
def test_a_store_must_be_named(cli: CommandLine, command: list[str]) -> None:
    """Without any store a command says in one line how to name one, with status 2."""
    done = cli.plain(*command)
    assert (done.status, done.out) == (2, "")
    assert done.err == "sessionguard: give --store URL, such as sqlite:///var/sessions.db, or set SESSIONGUARD_URL\n"


def test_a_password_in_a_url_is_not_repeated(cli: CommandLine) -> None:
    """An error about a store URL hides the password in it."""
    done = cli.plain("list", "--store", "nosuch://ada:hunter2@host/db")
    assert done.status == 2
    assert "hunter2" not in done.out + done.err


def test_what_would_steer_a_terminal_is_escaped(cli: CommandLine) -> None:
    """Control characters and turned writing directions are spelled out, wherever text of others is shown."""
    with SessionGuard.open(cli.url, sweep_interval=None) as guard:
        session = guard.create("ada", data={"\x1b[2J": "\r\u202e"})
    out = cli("show", session.id, "--data").out + cli("show", session.id).out
    assert r"\x1b[2J" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert visible("eve\x1b[2J\n00 forged row \u202e") == r"eve\x1b[2J\n00 forged row \u202e"
    assert visible("Zoë 日本") == "Zoë 日本"


def test_version_is_shown(cli: CommandLine) -> None:
    """`--version` prints name and version."""
    done = cli.plain("--version")
    assert done.status == 0
    assert re.fullmatch(r"sessionguard \S.*\n", done.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: CommandLine, command: str) -> None:
    """`--help` of every command works and names its options."""
    done = cli.plain(command, "--help")
    assert done.status == 0
    assert "--json" in done.out


@pytest.mark.parametrize("command", LOOKING_AFTER)
def test_commands_of_applications_are_the_same(cli: CommandLine, content: Content, command: str) -> None:
    """They take the same options, but for what is a setting there, and print the same; their guard stays open."""
    given = {"show": [content.ada.id], "end": ["--owner", "nobody"]}.get(command, [])
    with SessionGuard.open(cli.url, sweep_interval=None) as guard:
        helped = cli.of_application(guard, command, "--help")
        assert _options(helped.out) == _options(cli.plain(command, "--help").out) - SETTINGS
        there, here = cli.of_application(guard, command, *given, "--json"), cli(command, *given, "--json")
        assert (there.status, there.json()) == (here.status, here.json())
        assert guard.get(content.ada.id) is not None


def _options(text: str) -> set[str]:
    return set(re.findall(r"--[a-z-]+", text.partition("options:")[2])) | set(re.findall(r"\[(--[a-z-]+)", text))


def test_commands_of_applications_begin_no_sweep(cli: CommandLine, content: Content) -> None:
    """Whoever lists sessions ends none in the background; the application's next use of its guard begins as ever."""

    def sweepers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "sessionguard-sweeper"]

    before = len(sweepers())
    with SessionGuard.open(cli.url) as guard:
        assert cli.of_application(guard, "list").status == 0
        assert len(sweepers()) == before
        assert guard.get(content.ada.id) is not None
        assert len(sweepers()) == before + 1
        assert cli.of_application(guard, "list").status == 0
        assert len(sweepers()) == before + 1


def test_an_application_without_a_store_is_told_how_to_make_one(cli: CommandLine, tmp_path: Path) -> None:
    """As on the command line nothing is made by looking; the remedy is a command of the application."""
    (tmp_path / "sessions.db").touch()
    with SessionGuard.open(cli.url, sweep_interval=None) as guard:
        looked = cli.of_application(guard, "list")
        assert (looked.status, looked.out) == (2, "")
        assert "run `flask sessionguard migrate`" in looked.err
        assert cli.of_application(guard, "migrate").status == 0
        assert cli.of_application(guard, "list").status == 0


def test_an_application_with_sessions_in_memory_is_told_that_they_are_elsewhere(cli: CommandLine) -> None:
    """A process that only runs a command has none of them, and says so before "0 sessions"; its own it knows."""
    with SessionGuard.open("memory://", sweep_interval=None) as guard:
        for arguments in (["list"], ["sweep"], ["stats"], ["end", "--owner", "ana"]):
            refused = cli.of_application(guard, *arguments)
            assert (refused.status, refused.out) == (2, "")
            assert "sessions in memory are seen by their own process only" in refused.err
        assert cli.of_application(guard, "list", "--help").status == 0
        session = guard.create("ana")
        assert session.id in cli.of_application(guard, "list").out


def test_no_command_is_an_error(cli: CommandLine) -> None:
    """Without a command the usage is shown, with status 2."""
    assert cli.plain().status == 2
    assert cli.plain("nosuch").status == 2
