"""A few calls that every store answers, to see where it comes along."""

from sessionguard.core.commands import Identify
from sessionguard.core.driving import Flow, perform
from sessionguard.testing.contracts.stage import Stage


def a_little_of_all(owner: str) -> Flow[None]:
    """Open a session, read it and end it."""
    stage = Stage((yield from perform(Identify())))
    opened = yield from perform(stage.get_or_create(owner))
    yield from perform(stage.get(opened.record))
    yield from perform(stage.end(opened.record))
