"""`scope["session"]`: the tracked mapping, as the users of Starlette's `request.session` know it."""

import json
from collections.abc import Mapping
from typing import Any

from sessionguard.adapters.asgi.messages import Scope
from sessionguard.adapters.fields import PLAIN, Fields
from sessionguard.adapters.visits import AsyncVisit
from sessionguard.core.session import Session

_NOT_LOADED = "(not loaded)"


def visit_in(scope: Scope) -> AsyncVisit | None:
    """Give what the request of this scope does with its session; None without the middleware.

    Not by the state, which some servers share among the requests of a connection.
    """
    session = scope.get("session")
    return session.visit if isinstance(session, GuardedSession) else None


class GuardedSession(Fields, dict[str, Any]):  # type: ignore[misc]
    """The data of the visitor's session. Values changed in place are noticed.

    It is a dictionary, because what turns a response into JSON takes nothing else. The dictionary beneath is a mirror:
    some of those who read it look there without asking, and `json` asks only what does not look empty there.
    """

    def __init__(self, visit: AsyncVisit) -> None:
        Fields.__init__(self, visit.flows.known)
        dict.__setitem__(self, _NOT_LOADED, None)
        self.visit = visit
        visit.flows.fields = self

    def _loaded(self) -> dict[str, Any]:
        values = self._values
        if values is None:
            values = super()._loaded()
            self._mirror(values)
        return values

    def _mirror(self, values: Mapping[str, Any]) -> None:
        dict.clear(self)
        dict.update(self, values)

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if dict.__getitem__(self, name) is not value:
            # The copy that the application may change in place.
            dict.__setitem__(self, name, value)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        dict.__setitem__(self, name, value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        dict.__delitem__(self, name)

    def rest_on(self, session: Session) -> None:
        """Go on with `session`, which was opened or received; what is no field of it is gone."""
        super().rest_on(session)
        if self._values is not None:
            self._mirror(self._values)

    def empty(self) -> None:
        """Go on without a session: what is written from now on goes to a new one."""
        super().empty()
        dict.clear(self)

    def forget(self) -> None:
        """Be filled anew at the next use, for the session has been loaded again."""
        super().forget()
        self._mirror({_NOT_LOADED: None})

    def encoded(self, stored: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Give those of `values` that are not already so in `stored`.

        Raises:
            TypeError: a value is no JSON; the message names its field.
        """
        encoded: dict[str, Any] = {}
        for name, value in super().encoded(stored, values).items():
            if type(value) in PLAIN and isinstance(name, str):
                encoded[name] = value
                continue
            try:
                encoded.update(json.loads(json.dumps({name: value})))
            except TypeError as error:
                raise TypeError(f"session[{name!r}] cannot be stored: {error}") from error
        return encoded

    # What Starlette's session has beyond a dictionary

    @property
    def accessed(self) -> bool:
        """Whether the response depends on the session."""
        return self.visit.flows.is_used

    def mark_accessed(self) -> None:
        """Say that the response depends on the session; `request.session` says so."""
        self._loaded()

    def mark_modified(self) -> None:
        """Say that fields were written."""
        self.mark_written()
