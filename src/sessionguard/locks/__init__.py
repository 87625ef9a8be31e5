"""Named locks of a session, held by a `with` block; the store arbitrates, the holder keeps them alive.

The awaitable twin is in `sessionguard.locks.asynchronous`, so that blocking programs do not load asyncio.
"""

from sessionguard.locks.blocking import SessionLock

__all__ = ["SessionLock"]
