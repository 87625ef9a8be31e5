"""A store that can be interrupted: seen by schedules at its commands, and inside them only where that is asked for."""

from pathlib import Path

import pytest

from sessionguard import SessionGuard
from sessionguard.core import points
from sessionguard.testing.machines.breaking import Trap, make_breakable


@pytest.mark.parametrize("is_open", [False, True])
def test_no_point_of_the_store_itself_is_met_unless_others_come_between(tmp_path: Path, is_open: bool) -> None:
    """The points of a store name its place, which is another one in each schedule, so closed ones are not heard."""
    heard: list[tuple[object, str]] = []

    async def hear(label: str, resource: object, mode: str) -> None:
        heard.append((resource, label))

    with SessionGuard.open(f"sqlite:///{tmp_path}/sessions.db", tmp_path / "files", sweep_interval=None) as guard:
        trap = Trap()
        trap.is_open = is_open
        make_breakable(guard, trap)
        with points.installed(lambda label, resource, mode: heard.append((resource, label)), hear):
            session = guard.create("ana")
            with guard.workspace(session) as workspace:
                workspace.write("text", "new")
            guard.end(session)
    assert heard
    assert any(str(tmp_path) in str(resource) for resource, _ in heard) is is_open, heard
