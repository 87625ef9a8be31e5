"""Workspaces in every order of callers: a lease keeps what it has, a removal leaves nothing, files are whole."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sessionguard.errors import LeaseLostError
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Patience, Scenario
from sessionguard.workspaces import LocalWorkspaces
from sessionguard.workspaces.local import leases as leases_module
from sessionguard.workspaces.quota import Quota

SESSION = "a7" * 17
DEPLOYMENT = "0123456789abcdef" * 2
NO_LIMIT = Quota()


def search(scenario: Callable[[Scenario], None], seconds: float = 2.0) -> Outcome:
    """Play its orders for so long; no wait is hidden, so nobody is passed over."""
    # What fails is planted, or looked at by its id; making it short takes longer than finding it.
    searching = Interleaver(budget=Budget(1_000, seconds), patience=Patience(20.0, 20.0), shrink_seconds=0.5)
    return searching.run(scenario)


def workspaces(place: Path) -> LocalWorkspaces:
    """Give the workspaces of a new root."""
    made = LocalWorkspaces(tempfile.mkdtemp(dir=place))
    made.open(DEPLOYMENT)
    return made


def using_and_removing(s: Scenario, place: Path) -> None:
    """One leases and writes, another removes."""
    local = workspaces(place)
    local.lease(SESSION, NO_LIMIT).close()

    def use() -> None:
        with s.history.record("uses", "use") as op:
            try:
                with local.lease(SESSION, NO_LIMIT) as mine:
                    mine.write("report", b"whole")
                    op.ok(mine.read("report"))
            except LeaseLostError:
                op.ok("gone")

    def kept(history: History) -> None:
        assert {operation.result for operation in history.operations} <= {b"whole", "gone"}
        local.remove(SESSION)
        with local.lease(SESSION, NO_LIMIT) as anew:
            assert anew.list() == []

    s.worker("uses", use)
    s.worker("removes", partial(local.remove, SESSION))
    s.check(kept)


def test_a_lease_keeps_its_files_in_every_order(tmp_path: Path) -> None:
    """Whoever leases writes and reads in peace, or is told that the workspace is going; no order shows less."""
    outcome = search(partial(using_and_removing, place=tmp_path), seconds=20.0)
    assert outcome.exhausted, outcome.failure.render() if outcome.failure else outcome.describe()


def test_a_removal_that_looks_at_no_lease_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: taken exclusively whoever holds it, a workspace is removed under its user, within a few schedules."""
    monkeypatch.setattr(leases_module, "lock_exclusive", lambda descriptor: True)
    outcome = search(partial(using_and_removing, place=tmp_path))
    assert outcome.failure is not None
    assert outcome.failure.schedules <= 50
    assert "worker uses raised" in outcome.failure.verdict.message


def test_two_writers_within_a_quota_keep_it_in_every_order(tmp_path: Path) -> None:
    """Of two files of which one fits, one is published, and a reader sees it whole or not at all."""

    def scenario(s: Scenario) -> None:
        local = workspaces(tmp_path)
        spaces = [local.lease(SESSION, Quota(bytes=10)) for _ in range(2)]

        def write(number: int) -> None:
            with s.history.record(f"writer {number}", "write") as op:
                try:
                    spaces[number].write(f"file-{number}", b"12345678")
                    op.ok("written")
                except Exception as error:
                    op.ok(type(error).__name__)

        def within(history: History) -> None:
            results = [operation.result for operation in history.operations]
            assert set(results) <= {"written", "QuotaExceededError"}
            assert results.count("written") <= 1, "both were written"
            assert spaces[0].usage().bytes <= 10
            for space in spaces:
                space.close()

        for number in range(2):
            s.worker(f"writer {number}", partial(write, number))
        s.check(within)

    outcome = search(scenario)
    assert outcome.ok, outcome.failure and outcome.failure.render()
    assert not outcome.has_blocked
