"""Fork sweep and jump sweep: what a child inherits, and what is true at the very instant, is found."""

from datetime import timedelta
from typing import Any

import pytest

from sessionguard.errors import MisuseError
from sessionguard.testing.sweeps import SweepError, fork_sweep, jump_sweep, kill_sweep
from tests.testing.sweeps import heirs as h

pytestmark = pytest.mark.processes


def test_a_lock_that_is_held_at_the_fork_is_found() -> None:
    """In the child nobody gives it back; who waits is shown. With a lock made anew all is well."""
    with pytest.raises(SweepError) as caught:
        fork_sweep(h.write_under_a_lock, h.write_in_the_child, h.see_nothing, patience_seconds=0.3)
    assert str(caught.value).startswith(
        "forked at stop 1 (before write#1 file):\nthe forked child was not over in time"
    )
    assert "in write_in_the_child" in str(caught.value)
    report = fork_sweep(h.write_under_a_lock_that_is_made_anew, h.write_in_the_child, h.see_nothing)
    assert [stop.id for stop in report.strikes["fork"]] == ["write#1", "end#1"]


def test_mutant_15_inherited_luck_is_found() -> None:
    """Parent and child draw the same id; the report says where, and its id repeats it."""
    settings: dict[str, Any] = {"in_fork": h.draw_in_the_child, "survivor": h.see_nothing}
    with pytest.raises(SweepError, match=r"(?s)forked at stop 1 \(before draw#1 luck\).*FileExistsError"):
        fork_sweep(h.draw_an_id, **settings)
    with pytest.raises(SweepError, match="FileExistsError"):
        fork_sweep(h.draw_an_id, only="fork@draw#1", **settings)
    fork_sweep(h.draw_an_id, h.draw_in_the_child_from_the_system, h.see_nothing)


def test_mutant_22_the_very_instant_of_expiry_is_found() -> None:
    """A jump to the instant shows what a jump to the tick before and one beyond do not."""
    settings: dict[str, Any] = {"prepare": h.begin, "check": h.sweep_agrees}
    around = [h.TIMEOUT - timedelta(microseconds=1), h.TIMEOUT + timedelta(microseconds=1), -timedelta(hours=1)]
    report = jump_sweep(h.load_generously, h.see_nothing, jumps=around, **settings)
    assert report.total == 6
    with pytest.raises(SweepError, match=r"(?s)its clock jumped by 1:00:00 at stop 1 .*only='jump\+3600@read#1'"):
        jump_sweep(h.load_generously, h.see_nothing, jumps=[h.TIMEOUT], **settings)
    with pytest.raises(SweepError, match="told to be alive, and swept"):
        jump_sweep(h.load_generously, h.see_nothing, jumps=[h.TIMEOUT], only="jump+3600@read#1", **settings)
    jump_sweep(h.load, h.see_nothing, jumps=[*around, h.TIMEOUT], **settings)


def test_an_id_of_another_sweep_is_refused() -> None:
    """The id of a fork is none for a kill sweep."""
    with pytest.raises(MisuseError, match="of another sweep"):
        kill_sweep(h.load, h.see_nothing, only="fork@read#1")
