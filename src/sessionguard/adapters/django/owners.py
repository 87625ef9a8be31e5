"""Whose a session is: at a login by `django.contrib.auth` it becomes that of the user, with a new key."""

from typing import Any, Protocol, runtime_checkable

from django.contrib.auth.signals import user_logged_in


@runtime_checkable
class OwnedSession(Protocol):
    """A session of ours, be it of the engine or of the middleware."""

    def receive(self, owner: str) -> None:
        """Make it that of `owner`, who has logged in."""


def connect() -> None:
    """Hear of logins from now on."""
    user_logged_in.connect(_receive, dispatch_uid="sessionguard")


def _receive(*, request: Any, user: Any, **_: Any) -> None:
    session = getattr(request, "session", None)
    # Tests log in without a user that was ever stored.
    if isinstance(session, OwnedSession) and getattr(user, "pk", None) is not None:
        session.receive(str(user.pk))
