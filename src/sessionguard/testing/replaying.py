"""Tells the ids of reports apart by kind, and gives each fixture the one of `--sg-replay` that is meant for it."""

import re
from enum import Enum
from typing import Final

import pytest

from sessionguard.errors import InvalidArgumentError

NOTE: Final = "--sg-replay"
"""The name of the section of a test's report in which fixtures say that they did not follow the id."""


class ReplayKind(Enum):
    """Whose id it is; the value is the name of the fixture that follows it."""

    SCHEDULE = "interleave"
    CANCEL = "cancel_sweep"
    INTERRUPT = "interrupt_sweep"
    KILL = "kill_sweep"
    JUMP = "jump_sweep"
    FORK = "fork_sweep"


_BEGINNINGS: Final = {
    ReplayKind.SCHEDULE: r"sg1:",
    ReplayKind.CANCEL: r"(once|twice|late|timeout|sibling)@",
    ReplayKind.INTERRUPT: r"raise@",
    ReplayKind.KILL: r"(kill|pause)@",
    ReplayKind.JUMP: r"jump[+-][^@]*@",
    ReplayKind.FORK: r"fork@",
}


def kind_of(replay_id: str) -> ReplayKind:
    """Give the kind of an id by how it begins; whether the rest of it is right is not looked at.

    Raises:
        InvalidArgumentError: nothing prints ids like this one.
    """
    for kind, beginning in _BEGINNINGS.items():
        if re.match(beginning, replay_id):
            return kind
    remedy = "give an id that a report printed, such as sg1:a@INSERT#1;b@end of a race, or kill@rename#1 of a sweep"
    raise InvalidArgumentError("replay", replay_id, remedy)


def replay_for(kind: ReplayKind, node: pytest.Item) -> str | None:
    """Give the id of the command line if it is of this kind; of another one, a note is left in the test's report.

    Whoever gets None does all that it would do without the option.
    """
    replay_id: str | None = node.config.getoption("--sg-replay")
    if replay_id is None:
        return None
    other = kind_of(replay_id)
    if other is kind:
        return replay_id
    note = f"not followed: {replay_id} is for {other.value}; {kind.value} was played in full by {node.nodeid}"
    node.add_report_section("setup", NOTE, note)
    return None
