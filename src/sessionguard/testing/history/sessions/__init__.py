"""The specification of sessions, and stores that write down what they are asked."""

from sessionguard.testing.history.sessions.recording import recorded, recorded_async
from sessionguard.testing.history.sessions.specification import SessionModel
from sessionguard.testing.history.sessions.workload import Actor

__all__ = ["Actor", "SessionModel", "recorded", "recorded_async"]
