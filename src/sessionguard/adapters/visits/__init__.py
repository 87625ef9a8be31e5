"""One request's dealings with its session, for every framework: decided once, driven blocking or awaited."""

from sessionguard.adapters.visits.asynchronous import AsyncVisit
from sessionguard.adapters.visits.blocking import Visit, blocking_guard
from sessionguard.adapters.visits.flows import REQUEST_LOCK, VisitFlows
from sessionguard.adapters.visits.rules import VisitRules

__all__ = ["REQUEST_LOCK", "AsyncVisit", "Visit", "VisitFlows", "VisitRules", "blocking_guard"]
