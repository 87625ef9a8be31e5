"""What a flow may ask of the workspaces instead of the store."""

from typing import Any, ClassVar

from attrs import frozen
from typing_extensions import TypeVar

from sessionguard.core.commands import Command

R = TypeVar("R")


class FileCommand(Command[R]):
    """A request to the workspaces instead of the store."""

    __slots__ = ()


@frozen
class RemoveWorkspace(FileCommand[Any]):
    """Remove the workspace of an ended session, or mark it for removal when its last lease is gone."""

    verb: ClassVar[str] = "remove"
    session_id: str

    def apply(self, store: Any) -> Any:
        return store.remove(self.session_id)


@frozen
class QuarantineWorkspace(FileCommand[bool]):
    """Put the workspace of a session that the store has lost out of reach; False if it is in use or there is none."""

    verb: ClassVar[str] = "quarantine"
    session_id: str

    def apply(self, store: Any) -> Any:
        return store.quarantine(self.session_id)


@frozen
class FindGarbage(FileCommand[list[str]]):
    """Name up to `limit` sessions of this deployment, and of no other, whose workspaces may have outlived them."""

    verb: ClassVar[str] = "candidates"
    limit: int
    deployment_id: str

    def apply(self, store: Any) -> Any:
        return store.candidates(self.limit, self.deployment_id)


@frozen
class OpenWorkspaces(FileCommand[None]):
    """Work from now on in the workspaces of this deployment."""

    verb: ClassVar[str] = "open"
    deployment_id: str

    def apply(self, store: Any) -> Any:
        return store.open(self.deployment_id)
