"""Flask: `SessionGuardExtension` keeps `flask.session` in a guard."""

from sessionguard.errors import MissingExtraError

try:
    from sessionguard.adapters.flask.extension import SessionGuardExtension
    from sessionguard.adapters.flask.external import external_routes, external_session
    from sessionguard.adapters.flask.session import GuardedSession
except ModuleNotFoundError as error:
    if error.name not in ("flask", "werkzeug"):
        raise
    raise MissingExtraError("flask", "flask>=3") from error

__all__ = ["GuardedSession", "SessionGuardExtension", "external_routes", "external_session"]
