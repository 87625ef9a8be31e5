"""What the holder keeps alive and the store arbitrates: named locks of a session, and holds on it.

The awaitable twins are in `sessionguard.locks.asynchronous` and `sessionguard.locks.async_holding`, so that blocking
programs do not load asyncio.
"""

from sessionguard.locks.blocking import SessionLock
from sessionguard.locks.holding import SessionHold

__all__ = ["SessionHold", "SessionLock"]
