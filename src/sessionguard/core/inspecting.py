"""What is asked about workspaces before anything is removed: an optional ability of the place that holds them."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from attrs import frozen

from sessionguard.core.file_commands import FileCommand


@frozen
class IsWorkspaceYoung(FileCommand[bool]):
    """Tell whether the files of a session changed within `age` before `at`; None: before now, by the clock of the host.

    False where removal was asked for. True of a place that cannot tell: what may be young is left alone.
    """

    verb: ClassVar[str] = "is_young"
    session_id: str
    age: timedelta
    at: datetime | None

    def apply(self, store: Any) -> Any:
        # The awaitable twins have the method in any case.
        is_young = getattr(store, "is_young", None)
        return is_young is None or is_young(self.session_id, self.age, self.at)


@frozen
class MeasureWorkspace(FileCommand[Any]):
    """Tell what removing the workspace would remove, and remove nothing."""

    verb: ClassVar[str] = "measure"
    session_id: str

    def apply(self, store: Any) -> Any:
        measure = getattr(store, "measure", None)
        return None if measure is None else measure(self.session_id)


@frozen
class FindLeftovers(FileCommand[list[str]]):
    """Name the sessions that `FindGarbage` would name now, and finish, remove and forget nothing.

    None of a place that cannot tell.
    """

    verb: ClassVar[str] = "leftovers"
    limit: int
    deployment_id: str

    def apply(self, store: Any) -> Any:
        leftovers = getattr(store, "leftovers", None)
        return [] if leftovers is None else leftovers(self.limit, self.deployment_id)


@frozen
class IdentifyPlace(FileCommand["str | None"]):
    """Name the place that is open, alike in every process that has it and unlike every other; None: it cannot tell."""

    verb: ClassVar[str] = "place_id"

    def apply(self, store: Any) -> Any:
        place_id = getattr(store, "place_id", None)
        return None if place_id is None else place_id()
