"""Storms: a few clients who do everything at once to a few owners of any store, and a record of what they saw.

Nothing decides the order here but the machine, so a storm proves little by passing once; it is for stores whose races
are decided where no harness can look, such as in a server. Whether what was seen can be is for
`sessionguard.testing.history.check` with `SessionModel` to say.
"""

from sessionguard.testing.storms.clients import async_storm, storm
from sessionguard.testing.storms.processes import storm_of_killed, storm_of_processes

__all__ = ["async_storm", "storm", "storm_of_killed", "storm_of_processes"]
