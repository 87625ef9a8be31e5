"""Who outgrows one machine changes one URL: a program does the same on every engine, and so do the commands."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionConflictError, SessionEndedError, SessionGuard, SessionPolicy
from sessionguard.cli.__main__ import main
from tests.engines.conftest import Engine, OpenGuard


def test_a_day_in_the_life_of_a_session(open_guard: OpenGuard, tmp_path: Path) -> None:
    """Every call of a guard, in the order in which an application makes them."""
    guard = open_guard(workspaces=tmp_path / "work")
    visitor = guard.create(data={"cart": ["tea"]})
    assert visitor.token is not None
    login = guard.rotate(visitor, owner="ada")
    assert login.token is not None
    assert guard.load(login.token) is not None
    saved = guard.save(login, {"name": "Ada"}, remove=["cart"])
    assert dict(saved.data) == {"name": "Ada"}
    with pytest.raises(SessionConflictError):
        guard.save(saved, {"name": "Eve"}, expected_version=1)
    assert guard.modify(saved, lambda data: data.update(visits=1)).data["visits"] == 1
    desk = guard.get_or_create("ada", scope="desk")
    assert guard.get_or_create("ada", scope="desk").id == desk.id
    fresh = guard.replace("ada", scope="desk")
    assert fresh.generation > desk.generation
    with pytest.raises(SessionEndedError):
        guard.save(desk, {"late": True})
    with guard.workspace(fresh) as files:
        files.write("notes", "kept")
    with guard.lock(fresh, "door") as lock:
        guard.save(fresh, {"under": "lock"}, lock=lock)
    assert [session.id for session in guard.sessions(owner="ada")] == [fresh.id, login.id]
    ended = guard.end(fresh)
    assert ended is not None
    assert (ended.reason, ended.removed.files if ended.removed is not None else 0) == ("revoked", 1)
    assert guard.end(fresh) is None
    assert guard.end_owner("ada") == 1
    assert guard.load(login.token) is None
    assert guard.purge(timedelta(0)).purged == 3


def test_what_expired_is_swept_by_the_clock_of_the_engine(open_guard: OpenGuard) -> None:
    """A session expires by the engine's clock, and a sweep ends it; the shortest timeout is over at once."""
    moment = SessionPolicy(idle_timeout=timedelta(microseconds=1), absolute_timeout=timedelta(days=1))
    guard = open_guard(policy={"short": moment, "default": SessionPolicy()})
    short, lasting = guard.get_or_create("ada", scope="short"), guard.get_or_create("ada")
    report = guard.sweep()
    assert (report.ended, report.has_more) == (1, False)
    found = guard.get(short.id)
    assert found is not None
    assert found.reason == "expired"
    assert guard.get_or_create("ada").id == lasting.id


@pytest.mark.parametrize("engine", ["file", "sqlite", "postgres", "redis", "redis-cluster"], indirect=True)
def test_the_commands_work_on_every_engine(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """migrate, doctor, list, show, end, stats and sweep do their work on a store that they know by its URL alone."""

    def command(*arguments: str) -> Any:
        status = main([*arguments, "--store", engine.url, "--json"])
        printed = capsys.readouterr()
        assert status == 0, printed
        return json.loads(printed.out)

    command("migrate")
    with SessionGuard.open(engine.url, sweep_interval=None) as guard:
        session = guard.create("ada", data={"n": 1})
        guard.create("bea")
    findings = command("doctor")
    assert not [finding for finding in findings if finding["level"] == "problem"], findings
    assert all(finding["remedy"] for finding in findings if finding["level"] == "warning"), findings
    listed = command("list")
    assert {entry["owner"] for entry in listed["sessions"]} == {"ada", "bea"}
    shown = command("show", session.id)
    assert str(session.token) not in json.dumps(shown)
    command("end", session.id)
    assert command("stats")
    command("sweep")
