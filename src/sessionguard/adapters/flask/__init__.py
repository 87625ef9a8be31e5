"""Flask: `SessionGuardExtension` keeps `flask.session` in a guard."""

from sessionguard.adapters.flask.extension import SessionGuardExtension
from sessionguard.adapters.flask.session import GuardedSession

__all__ = ["GuardedSession", "SessionGuardExtension"]
