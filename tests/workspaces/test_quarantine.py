"""The workspace of a session that the store has lost: out of reach, kept, and removed only long after."""

import os
import secrets
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from sessionguard.testing import ChildProcess
from sessionguard.workspaces import LocalWorkspaces
from sessionguard.workspaces.local import ages
from tests.workspaces.conftest import UNLIMITED

DAY = 24 * 3600.0
STEPS = ("rename", "unlink", "rmdir", "fsync")


def quarantined(root: Path) -> list[Path]:
    """Give what lies in quarantine."""
    return sorted(root.glob("*/.quarantine/*"))


def test_a_quarantined_workspace_is_kept_whole_and_never_given_out(
    workspaces: LocalWorkspaces, session_id: str, root: Path
) -> None:
    """Its files lie apart as they were; the same id would begin empty."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("plan", "the only copy")
    assert workspaces.quarantine(session_id)
    (kept,) = quarantined(root)
    assert (kept / "files" / "plan").read_text() == "the only copy"
    assert kept.name.startswith(session_id)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == []
    assert not workspaces.quarantine("0" * 34), "there is none"


def test_quarantine_is_emptied_after_thirty_days(workspaces: LocalWorkspaces, root: Path) -> None:
    """A pass of the clean-up leaves the young ones, however many, and removes the old ones."""
    for _ in range(6):
        another = secrets.token_hex(17)
        with workspaces.lease(another, UNLIMITED) as workspace:
            workspace.write("a", "1")
        workspaces.quarantine(another)
    workspaces.candidates(10)
    old, *young = quarantined(root)
    assert len(young) == 5
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    workspaces.candidates(1)
    workspaces.candidates(1)
    assert quarantined(root) == young
    assert list(root.glob("*/.trash/*")) == []


def test_what_lies_deeper_than_any_name_is_kept(workspaces: LocalWorkspaces, session_id: str, root: Path) -> None:
    """A file of another program is one, however deep; only what is empty is not kept."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        deep = workspace.path.joinpath(*["d"] * 70)
        deep.mkdir(parents=True)
        (deep / "plan").write_text("the only copy")
    assert workspaces.quarantine(session_id)
    workspaces.lease(session_id, UNLIMITED).close()
    assert not workspaces.quarantine(session_id)
    (kept,) = quarantined(root)
    assert kept.joinpath("files", *["d"] * 70, "plan").read_text() == "the only copy"


def die_at_step(line: Connection, workspaces: LocalWorkspaces, session_id: str, step: int) -> None:
    """Write two files together and crash before the given system call."""
    left = [step]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*args, **kwargs)

        return call

    with workspaces.lease(session_id, UNLIMITED) as workspace:
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        workspace.write_all([("a/b", b"1"), ("c", b"2")])
        os._exit(0)


@pytest.mark.processes
def test_what_a_crash_kept_from_its_name_is_kept_in_quarantine(
    workspaces: LocalWorkspaces, root: Path, tmp_path: Path
) -> None:
    """At whatever call the writer dies: what the next lease would have found is in quarantine, and can be put back."""
    found = []
    for step in range(1, 60):
        session_id = secrets.token_hex(17)
        with ChildProcess(die_at_step, workspaces, session_id, step, start="fork") as writer:
            exit_code = writer.wait_for_end()
        shutil.copytree(root, tmp_path / "copy")
        copy = LocalWorkspaces(tmp_path / "copy")
        copy.open("deployment one")
        with copy.lease(session_id, UNLIMITED) as workspace:
            expected = workspace.list()
        (place,) = root.glob(f"*/*/{session_id}")

        is_kept = workspaces.quarantine(session_id)
        assert is_kept or not expected
        if expected:
            (kept,) = quarantined(root)
            kept.rename(place)
            with workspaces.lease(session_id, UNLIMITED) as workspace:
                assert workspace.list() == expected
                assert [workspace.read(name) for name in expected] == [b"1", b"2"]
        found.append(len(expected))
        shutil.rmtree(root)
        shutil.rmtree(tmp_path / "copy")
        if exit_code == 0:
            break

    assert exit_code == 0, "the writer never came to its end"
    assert step > 10
    assert set(found) == {0, 2}


def passing(patch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Give what lets days pass, in truth and by the clock of the machine."""
    now = [ages.read_clocks()]
    patch.setattr(ages, "read_clocks", lambda: now[0])

    def days(true: float, by_the_clock: float) -> None:
        now[0] = evolve(now[0], running=now[0].running + true * DAY, wall=now[0].wall + by_the_clock * DAY)

    return days


def test_a_clock_that_jumps_ahead_ends_no_quarantine(
    workspaces: LocalWorkspaces, session_id: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person has thirty true days, however the clock of the machine is set meanwhile, and no more than these."""
    days = passing(monkeypatch)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("plan", "the only copy")
    assert workspaces.quarantine(session_id)
    for true, by_the_clock in ((0, 31), (0, -31), (10, 400), (10, 10), (0, -390), (9, 9)):
        days(true, by_the_clock)
        workspaces.candidates(10)
        assert len(quarantined(root)) == 1
    days(2, 2)
    workspaces.candidates(10)
    workspaces.candidates(10)
    assert quarantined(root) == []


def test_what_is_quarantined_while_the_clock_is_wrong_has_its_days(
    workspaces: LocalWorkspaces, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ahead or behind: it counts from when it came, not from what the clock said then."""
    days = passing(monkeypatch)
    for wrong in (-400, 400):
        another = secrets.token_hex(17)
        with workspaces.lease(another, UNLIMITED) as workspace:
            workspace.write("a", "1")
        days(0, wrong)
        assert workspaces.quarantine(another)
        days(1, 1 - wrong)
        workspaces.candidates(10)
    assert len(quarantined(root)) == 2


steps = st.tuples(st.booleans(), st.floats(0, 1e6), st.floats(-1e7, 1e7))


@given(began=st.floats(0, 1e6), steps=st.lists(steps, max_size=8))
def test_no_more_time_passes_than_in_truth(began: float, steps: list[tuple[bool, float, float]]) -> None:
    """Whatever restarts and settings of the clock there are, and what is told to others is read again as it was."""
    known = ages.Ages.begin(ages.Readings("0", began, 1e9))
    first, true = known.sure, 0.0
    for is_restart, passed, wrong in steps:
        true += passed
        running = passed / 2 if is_restart else known.at.running + passed
        boot = known.at.boot + "0" * is_restart
        known = known.advance(ages.Readings(boot, running, known.at.wall + passed + wrong))
        assert known.sure - first <= true + 1e-3
        assert known.steady <= known.at.wall
        assert ages.Ages.read(known.text()) == known


def test_a_jump_of_the_clock_makes_no_orphan_old(
    workspaces: LocalWorkspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written just now is young, also when the clock of the machine says that it was long ago."""
    days, hour = passing(monkeypatch), timedelta(hours=1)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", "1")
    assert workspaces.is_young(session_id, hour, None)
    days(0, 31)
    assert workspaces.is_young(session_id, hour, None)
    days(0, -31)
    assert workspaces.is_young(session_id, hour, None)
    days(1, 1)
    assert not workspaces.is_young(session_id, hour, None)


def test_what_another_program_has_just_written_is_young(workspaces: LocalWorkspaces, session_id: str) -> None:
    """By the times of the files, for writing on in one changes no directory; the ledger, which others touch, apart."""
    hour = timedelta(hours=1)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a/log", "1")
        place = workspace.path.parent
    long_ago = time.time() - 2 * 3600
    for path in [place, *place.rglob("*")]:
        if path.name != "ledger":
            os.utime(path, (long_ago, long_ago))
    assert not workspaces.is_young(session_id, hour, None)
    with (place / "files" / "a" / "log").open("a") as file:
        file.write("just now")
    assert workspaces.is_young(session_id, hour, None)
    assert not workspaces.is_young(session_id, hour, datetime.now(UTC) + hour * 2)
