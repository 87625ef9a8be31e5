"""On what it depends what a request may do with its session."""

from sessionguard.core.arguments import valid_text
from sessionguard.core.session import Session
from sessionguard.core.tokens import is_anonymous
from sessionguard.core.visitors import LOGIN_REASON
from sessionguard.errors import MisuseError, SessionEndedError


def refused_read_only() -> MisuseError:
    """Give what a view is told that is marked read_only and writes."""
    return MisuseError("this view is marked read_only; take the mark away, or write in another view")


def named(scope: str | None, default: str) -> str:
    """Give the scope that was asked for. Empty text is a missing value, and no way to say "the default"."""
    return default if scope is None else valid_text("scope", scope)


def is_taken(session: Session, error: SessionEndedError) -> bool:
    """Tell whether `error` says of the visitor's `session` that somebody has logged in with it."""
    return error.reason == LOGIN_REASON and error.session_id == session.id and is_anonymous(session.owner)
