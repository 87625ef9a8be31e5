"""`flask.session`: the tracked mapping, with what Flask's users ask of a session."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flask.sessions import SessionMixin

from sessionguard.adapters.fields import Fields
from sessionguard.adapters.flask.values import changed, untagged
from sessionguard.adapters.visits import Visit
from sessionguard.core.session import Session


class GuardedSession(Fields, SessionMixin):
    """The data of the visitor's session. Values changed in place are noticed without `modified`."""

    renewing: ClassVar[frozenset[str]] = frozenset({"_permanent"})

    accessed = False
    """Whether the response depends on the session. Flask sets it whenever `flask.session` is used at all."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(self._looked_at)
        self.visit = visit
        visit.flows.fields = self

    def _looked_at(self) -> Session | None:
        self.accessed = True
        return self.visit.session()

    def decoded(self, stored: Any) -> Any:
        """Give the value that the tagged JSON describes."""
        return untagged(stored)

    def encoded(self, stored: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Give those of `values`, as tagged JSON, that are not already so in `stored`."""
        return changed(stored, values)

    @property
    def new(self) -> bool:  # type: ignore[override]
        """Whether the visitor came without a session."""
        return self.is_new
