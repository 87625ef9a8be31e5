"""Named locks of a session, held by a `with` block; the store arbitrates, the holder keeps them alive."""

from sessionguard.locks.asynchronous import AsyncSessionLock
from sessionguard.locks.blocking import SessionLock

__all__ = ["AsyncSessionLock", "SessionLock"]
