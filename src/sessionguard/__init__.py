"""sessionguard: one user's request never sees, overwrites or loses another's session state, files or uploads."""

from sessionguard import errors
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.context import current_session
from sessionguard.core.cleaning import PurgeReport, SweepReport
from sessionguard.core.policy import SessionPolicy
from sessionguard.core.session import Removed, Session
from sessionguard.core.tokens import KeyRing
from sessionguard.errors import (
    ConfigurationError,
    InvalidArgumentError,
    LockTimeoutError,
    MisuseError,
    SessionConflictError,
    SessionEndedError,
    SessionGuardError,
    SessionTooLargeError,
    StoreUnavailableError,
)
from sessionguard.guard import SessionGuard
from sessionguard.stores.opening import open_store

__version__ = "0.1.0"

__all__ = [
    "AsyncSessionGuard",
    "ConfigurationError",
    "InvalidArgumentError",
    "KeyRing",
    "LockTimeoutError",
    "MisuseError",
    "PurgeReport",
    "Removed",
    "Session",
    "SessionConflictError",
    "SessionEndedError",
    "SessionGuard",
    "SessionGuardError",
    "SessionPolicy",
    "SessionTooLargeError",
    "StoreUnavailableError",
    "SweepReport",
    "current_session",
    "errors",
    "open_store",
]
