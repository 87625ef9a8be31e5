"""The specification of sessions, and stores that write down what they are asked."""

from sessionguard.testing.history.sessions.recording import recorded, recorded_async
from sessionguard.testing.history.sessions.specification import SessionModel

__all__ = ["SessionModel", "recorded", "recorded_async"]
