"""What the mounts of all frameworks have in common."""

from collections.abc import Callable
from typing import Final

from sessionguard.adapters.external.flows import ExternalFlows
from sessionguard.adapters.external.rules import ExternalIds
from sessionguard.adapters.external.situation import NamingRequest
from sessionguard.adapters.visits.flows import VisitFlows
from sessionguard.adapters.visits.rules import VisitRules
from sessionguard.core.arguments import valid_name
from sessionguard.errors import ConfigurationError, InvalidArgumentError, MisuseError

NEW_SESSION: Final = "/new-session"
CLEAR_SESSION: Final = "/clear-session"
DEBUG_SESSIONS: Final = "/debug-sessions"


def external_of(visit: VisitFlows, request: Callable[[], NamingRequest]) -> ExternalFlows:
    """Give what the request of `visit` does with the session that it names: one object for the request."""
    external = visit.external
    if not isinstance(external, ExternalFlows):
        external = visit.external = ExternalFlows(required_ids(visit.rules), visit, request())
    return external


def valid_caller(owner: object) -> str | None:
    """Give what `ExternalIds.caller` gave, if it is an owner or None.

    Raises:
        ConfigurationError: it is neither. Callers that are told apart by nothing would share all their sessions.
    """
    if owner is None:
        return None
    try:
        return valid_name("caller", owner)
    except InvalidArgumentError as error:
        raise ConfigurationError("ExternalIds.caller", "(what it gave)", error.remedy) from None


def required_ids(rules: VisitRules) -> ExternalIds:
    """Give what the application has said of sessions that other programs name.

    Raises:
        MisuseError: it has said nothing.
    """
    if rules.external is None:
        raise MisuseError(
            "this application has no external ids; give external=ExternalIds(...) as you set it up, or set "
            "SESSIONGUARD_EXTERNAL_IDS"
        )
    return rules.external
