"""The place for files under test, as the cases see it: empty when a case begins."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

from attrs import define, field

from sessionguard.core.commands import Fence
from sessionguard.testing.contracts.places.capabilities import PlaceCapabilities
from sessionguard.testing.profile import CI, Profile
from sessionguard.workspaces.contract import Workspace, Workspaces
from sessionguard.workspaces.quota import Quota

MakeWorkspaces = Callable[[], Workspaces]

UNLIMITED: Final = Quota()


@define(slots=False)
class Site:
    """One place, the deployment that works in it, and how to connect to it."""

    make: MakeWorkspaces
    capabilities: PlaceCapabilities = field(factory=PlaceCapabilities)
    profile: Profile = CI
    deployment_id: str = field(factory=lambda: secrets.token_hex(8))

    @cached_property
    def workspaces(self) -> Workspaces:
        """A connection, open for the deployment."""
        workspaces = self.make()
        workspaces.open(self.deployment_id)
        return workspaces

    def another(self) -> Workspaces:
        """Give another connection, or the same where there is no other."""
        if not self.capabilities.shared:
            return self.workspaces
        workspaces = self.make()
        workspaces.open(self.deployment_id)
        return workspaces

    @contextmanager
    def leased(self, quota: Quota = UNLIMITED, fence: Fence | None = None) -> Iterator[Workspace]:
        """Give the workspace of a session that nobody has seen before."""
        with self.workspaces.lease(new_session(), quota, fence) as workspace:
            yield workspace

    def filled(self, session_id: str | None = None, **files: bytes) -> str:
        """Give a session, new unless named, with these files, and nobody at them."""
        session_id = session_id or new_session()
        with self.workspaces.lease(session_id, UNLIMITED) as workspace:
            for name, content in files.items():
                workspace.write(name, content)
        return session_id


def new_session() -> str:
    """Give the id of a session that nobody has seen before."""
    return secrets.token_hex(17)


def refused(kinds: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], Any]) -> Any:
    """Give the error that `call` must raise; anything else it does is a failure of the place."""
    __tracebackhide__ = True
    named = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
    try:
        told = call()
    except kinds as error:
        return error
    except Exception as error:
        raise AssertionError(f"it had to raise {named}, and raised {type(error).__name__}: {error}") from error
    raise AssertionError(f"it had to raise {named}, and gave {told!r}")
