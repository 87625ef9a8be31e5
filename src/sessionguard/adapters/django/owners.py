"""Whose a session is: at a login by `django.contrib.auth` it becomes that of the user, with a new key."""

from typing import Any, Protocol, runtime_checkable

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in

from sessionguard.errors import SessionGuardError


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
    if not isinstance(session, OwnedSession) or getattr(user, "pk", None) is None:
        return
    try:
        session.receive(str(user.pk))
    except SessionGuardError:
        _forget_login(request)
        raise


def _forget_login(request: Any) -> None:
    """Undo what `login` has done before it told: whom the guard refuses, say for a limit, is not logged in."""
    for name in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY):
        request.session.pop(name, None)
    if hasattr(request, "user"):
        from django.contrib.auth.models import AnonymousUser

        request.user = AnonymousUser()
