"""The kill sweep: every stop is struck, what goes wrong is named, and broken writers and locks are found."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core.points import point
from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.testing.sweeps import Run, SweepError, jump_sweep, kill_sweep, nursery
from sessionguard.testing.sweeps.orders import Jump
from tests.testing.sweeps import writers as w

pytestmark = pytest.mark.processes

LINES = f"lines:{w.__name__}"


def labels(report_stops: tuple[object, ...]) -> list[str]:
    """Give what comes at each stop."""
    return [str(getattr(stop, "id", "")) for stop in report_stops]


def test_every_declared_point_is_struck_in_both_ways() -> None:
    """A right writer is killed and stopped at each of its points and after its end, and all is well each time."""
    report = kill_sweep(
        w.write_beside, w.read_and_write_next, prepare=w.prepare_old, check=w.nothing_is_left_over, faults=["kill"]
    )
    assert labels(report.strikes["kill"]) == ["write#1", "rename#1", "end#1"]
    report = kill_sweep(w.write_beside, w.read_old_or_new, prepare=w.prepare_old)
    assert labels(report.strikes["kill"]) == labels(report.strikes["pause"]) == ["write#1", "rename#1", "end#1"]
    assert report.total == 6


def test_every_system_call_is_a_stop_without_any_declaration() -> None:
    """T54: with stops="io" a writer without points is struck before each call that changes something."""
    report = kill_sweep(
        w.write_with_system_calls, w.read_old_or_new, prepare=w.prepare_old, stops="io", faults=["kill"]
    )
    assert labels(report.strikes["kill"]) == ["open#1", "write#1", "write#2", "fsync#1", "rename#1", "end#1"]


def test_every_line_is_a_stop() -> None:
    """With stops="lines:..." every line of a module is one."""
    report = kill_sweep(w.write_beside, w.read_and_write_next, prepare=w.prepare_old, stops=LINES, faults=["kill"])
    assert labels(report.strikes["kill"]) == [
        "write_beside+2#1", "write#1", "write_beside+3#1", "write_beside+4#1", "rename#1", "write_beside+5#1", "end#1",
    ]  # fmt: skip


@pytest.mark.parametrize("stops, where", [
    ("declared", "write#1"), ("io", "write#1"), (LINES, "write_in_place+4#1"),
])  # fmt: skip
def test_mutant_16_a_half_written_file_is_found(stops: str, where: str) -> None:
    """A writer that is not atomic is found, wherever stops come from; its point is named, and it is repeated."""
    with pytest.raises(SweepError, match="half a file: 0 characters") as caught:
        kill_sweep(w.write_in_place, w.read_old_or_new, prepare=w.prepare_old, stops=stops)
    message = str(caught.value)
    assert re.match(rf"killed at stop \d+ \(before {re.escape(where)}", message)
    assert f"repeat only this one: only='kill@{where}'" in message
    with pytest.raises(SweepError, match="half a file: 0 characters"):
        kill_sweep(w.write_in_place, w.read_old_or_new, prepare=w.prepare_old, stops=stops, only=f"kill@{where}")


def test_mutant_16_is_found_where_nothing_is_declared() -> None:
    """The same for two lines that anybody writes."""
    with pytest.raises(SweepError, match=r"(?s)killed at stop 2 \(before write#1 .*half a file"):
        kill_sweep(w.write_without_points, w.read_old_or_new, prepare=w.prepare_old, stops="io", faults=["kill"])


def test_what_the_dead_leave_behind_is_found() -> None:
    """A temporary file that nobody removes is found by the check, only after the point where there is one."""
    with pytest.raises(SweepError, match=r"(?s)killed at stop 2 \(before rename#1 text\).*the check raised"):
        kill_sweep(w.write_littering, w.read_old_or_new, prepare=w.prepare_old, check=w.nothing_is_left_over)


def test_mutant_17_half_a_session_is_found() -> None:
    """A process killed between row and index leaves a session that nobody can open; the twin heals it."""
    settings: dict[str, Any] = {"prepare": w.prepare_table, "check": w.row_and_index_agree}
    with pytest.raises(SweepError, match=r"(?s)killed at stop 3 \(before INSERT index#1 .*FileExistsError"):
        kill_sweep(w.open_session, w.open_session, **settings)
    kill_sweep(w.open_session_healing, w.open_session_healing, **settings)


def test_mutant_18_a_lock_that_outlives_its_holder_is_found() -> None:
    """Whoever waits for the dead is shown where it stands; the twin is well."""
    settings: dict[str, Any] = {"prepare": w.prepare_counter, "check": w.count_is_what_was_told, "faults": ["kill"]}
    with pytest.raises(SweepError) as caught:
        kill_sweep(w.count_under_a_mark, w.count_under_a_mark, patience_seconds=0.3, **settings)
    assert "killed at stop 1 (before counting#1 count)" in str(caught.value)
    assert re.search(
        r"the survivor was not over in time; it stood here:(?s:.*)in count_under_a_mark", str(caught.value)
    )
    kill_sweep(w.count_under_a_lock, w.count_under_a_lock, **settings)


def test_a_lock_of_the_system_is_kept_by_the_stopped() -> None:
    """Who is stopped keeps what the system gave it: only a lease ends by itself."""
    with pytest.raises(SweepError, match=r"(?s)stopped and woken later at stop 2 .*the survivor was not over in time"):
        kill_sweep(
            w.count_under_a_lock,
            w.count_under_a_lock,
            prepare=w.prepare_counter,
            faults=["pause"],
            patience_seconds=0.3,
        )


def test_t68_whoever_is_woken_after_its_lease_overwrites_nothing() -> None:
    """Without a fence the woken one overwrites the survivor's count; with it, it is refused."""
    settings: dict[str, Any] = {"prepare": w.prepare_counter, "check": w.count_is_what_was_told, "lease": w.LEASE}
    unfenced = partial(w.count_under_a_lease, is_fenced=False)
    with pytest.raises(SweepError, match=r"(?s)stopped and woken later at stop 2 .*2 were told, 1 are there"):
        kill_sweep(unfenced, unfenced, **settings)
    report = kill_sweep(w.count_under_a_lease, w.count_under_a_lease, refusals=(w.TakenError,), **settings)
    assert report.total == 6


def test_a_lease_that_nobody_waits_out_is_a_failure() -> None:
    """Before the lease is over the survivor makes no progress: the clock of the sweep is what lets it."""
    with pytest.raises(SweepError, match=r"(?s)killed at stop 1 .*the survivor raised:.*TakenError"):
        kill_sweep(w.count_under_a_lease, _count_at_once, prepare=w.prepare_counter, lease=w.LEASE / 2)


def _count_at_once(run: Run) -> None:
    if run.operation is not None and run.operation.how != "returned":
        w.count_under_a_lease(run)


def test_what_was_acknowledged_and_is_gone_is_found_by_the_history() -> None:
    """A writer that says "done" before it is, is found by the model; what was under way may have happened or not."""
    kill_sweep(w.write_number, w.read_number, model=w.Register, strict=True)
    with pytest.raises(SweepError, match=r"(?s)killed at stop 2 \(before write late#1 .*the history is not legal"):
        kill_sweep(partial(w.write_number, is_early=True), w.read_number, model=w.Register)


def test_the_wall_clock_can_be_that_of_the_run() -> None:
    """With `wall_clock`, what asks the system for the time sees the clock of the run, after the lease, too."""
    kill_sweep(w.see_the_clock, w.see_the_clock, wall_clock=True, lease=w.LEASE, faults=["kill"])


def test_what_does_not_work_without_a_fault_proves_nothing() -> None:
    """A broken preparation, operation or survivor, and an operation without stops, are told as that."""
    with pytest.raises(SweepError, match=r"(?s)without any fault, the operation raised.*FileNotFoundError"):
        kill_sweep(w.count_under_a_lease, w.read_old_or_new)
    with pytest.raises(SweepError, match=r"(?s)without any fault:\nthe survivor raised.*FileNotFoundError"):
        kill_sweep(w.write_beside, w.count_under_a_lease)
    with pytest.raises(SweepError, match=r"(?s)the preparation raised.*FileNotFoundError"):
        kill_sweep(w.write_beside, w.read_old_or_new, prepare=w.open_session)
    with pytest.raises(SweepError, match=r'no stop before its end; use stops="io"'):
        kill_sweep(w.write_with_system_calls, w.read_old_or_new, prepare=w.prepare_old)


def test_a_sweep_that_would_end_early_is_told() -> None:
    """What does more the first time on a machine than ever after would not be struck there, and is told."""
    with pytest.raises(SweepError, match=r"came to 5 stops once, and then to 2: so what is struck is not the same"):
        kill_sweep(w.write_more_the_first_time, w.see_nothing, faults=["kill"])


def test_a_run_that_gets_shorter_is_told(tmp_path: Path) -> None:
    """The same where the struck runs are shorter than those that nobody struck."""
    fewer = partial(w.write_less_later, counter=tmp_path / "runs")
    with pytest.raises(
        SweepError, match=r"came to 5 stops, and before it was struck at number 2 \(kill\) it was at its"
    ):
        kill_sweep(fewer, w.see_nothing, faults=["kill"])


def test_a_point_that_is_called_end_is_not_the_end() -> None:
    """What comes after a point of that name is struck, too, and each of the two has an id of its own."""
    report = kill_sweep(w.end_and_go_on, w.see_nothing, faults=["kill"])
    assert labels(report.strikes["kill"]) == ["end#1", "write#1", "end#2"]


def test_nothing_to_strike_with_proves_nothing() -> None:
    """No faults, or one twice, are refused; so are jumps."""
    for faults in ([], ["kill", "kill"]):
        with pytest.raises(MisuseError, match="at least one fault or jump, and none twice"):
            kill_sweep(w.write_beside, w.see_nothing, faults=faults)  # type: ignore[arg-type]
    for jumps in ([], [w.LEASE, w.LEASE]):
        with pytest.raises(MisuseError, match="at least one fault or jump, and none twice"):
            jump_sweep(w.write_beside, w.see_nothing, jumps=jumps)


def test_wrong_arguments_are_refused() -> None:
    """A source of stops, a fault or an id that there is not is refused, and an id that is not reached is told."""
    with pytest.raises(InvalidArgumentError, match="lines:<module>"):
        kill_sweep(w.write_beside, w.read_old_or_new, stops="often")
    with pytest.raises(MisuseError, match="no such fault"):
        kill_sweep(w.write_beside, w.read_old_or_new, faults=["smash"])  # type: ignore[list-item]
    with pytest.raises(InvalidArgumentError, match="kill@rename#1"):
        kill_sweep(w.write_beside, w.read_old_or_new, only="sometimes")
    with pytest.raises(SweepError, match="there is no stop 'rename#2'"):
        kill_sweep(w.write_beside, w.read_old_or_new, prepare=w.prepare_old, only="kill@rename#2")


def test_parts_see_the_environment_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets or removes is seen by the parts of the next sweep, though their process was there before."""
    monkeypatch.setenv("KILL_SWEEP_TEST", "set")
    kill_sweep(partial(w.see_the_environment, value="set"), w.see_nothing, faults=["kill"])
    monkeypatch.setenv("KILL_SWEEP_TEST", "set again")
    kill_sweep(partial(w.see_the_environment, value="set again"), w.see_nothing, faults=["kill"])
    monkeypatch.delenv("KILL_SWEEP_TEST")
    kill_sweep(partial(w.see_the_environment, value=None), w.see_nothing, faults=["kill"])


def test_one_process_is_kept_at_most(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sweep in another folder ends the process that was kept, and leaves one of its own."""
    kept = []
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        with nursery.a_nursery() as one:
            kept.append(one)
    assert list(nursery._kept.values()) == kept[1:]
    with pytest.raises(OSError, match="closed"):
        kept[0].jump(Jump(None))


def test_the_same_folder_may_be_given_twice(tmp_path: Path) -> None:
    """What a sweep that failed left in its folder is kept, and no hindrance to the next one."""
    for _ in range(2):
        with pytest.raises(SweepError):
            kill_sweep(w.write_in_place, w.read_old_or_new, prepare=w.prepare_old, folder=tmp_path, faults=["kill"])
    assert len([path for path in tmp_path.glob("run*") if (path / "text").stat().st_size == 0]) == 2


def test_the_folder_of_a_failure_is_kept(tmp_path: Path) -> None:
    """What a failed run left on the disk is there to be looked at; what went well is removed."""
    with pytest.raises(SweepError):
        kill_sweep(w.write_in_place, w.read_old_or_new, prepare=w.prepare_old, folder=tmp_path)
    kept = [path for path in tmp_path.glob("run*") if (path / "text").stat().st_size == 0]
    assert len(kept) == 1


def test_nothing_that_was_struck_stays_behind() -> None:
    """After a sweep no process of it is there, stopped ones neither."""
    report = kill_sweep(_tell_pid, _tell_pid, faults=["pause"])
    assert report.total == 2
    with pytest.raises(SweepError, match="the survivor raised") as caught:
        kill_sweep(_tell_pid, _fail_after_a_strike, faults=["pause"])
    pid = int(re.findall(r"pid (\d+)", str(caught.value))[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _tell_pid(run: Run) -> None:
    (run.folder / "pid").write_text(str(os.getpid()))
    point("here", "here", "w")


def _fail_after_a_strike(run: Run) -> None:
    assert run.operation is not None
    assert run.operation.how == "returned", f"pid {(run.folder / 'pid').read_text()}"
