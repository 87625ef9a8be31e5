"""sessionguard: one user's request never sees, overwrites or loses another's session state, files or uploads."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessionguard.async_guard import AsyncSessionGuard  # noqa: I001
    from sessionguard.context import current_session
    from sessionguard.core.braking import SweepBrake
    from sessionguard.core.policy import SessionPolicy
    from sessionguard.core.reports import PurgeReport, SweepReport
    from sessionguard.core.session import Removed, Session
    from sessionguard.core.tokens import KeyRing
    from sessionguard.errors import ConfigurationError, InvalidArgumentError, LockTimeoutError, MisuseError
    from sessionguard.errors import QuotaExceededError, SessionConflictError, SessionEndedError, SessionGuardError
    from sessionguard.errors import SessionLimitError, SessionTooLargeError, StoreUnavailableError
    from sessionguard.guard import SessionGuard
    from sessionguard.stores.opening import open_store

__version__ = "0.1.0"

# fmt: off
__all__ = [
    "AsyncSessionGuard", "ConfigurationError", "InvalidArgumentError", "KeyRing", "LockTimeoutError", "MisuseError",
    "PurgeReport", "QuotaExceededError", "Removed", "Session", "SessionConflictError", "SessionEndedError",
    "SessionGuard", "SessionGuardError", "SessionLimitError", "SessionPolicy", "SessionTooLargeError",
    "StoreUnavailableError", "SweepBrake", "SweepReport", "current_session", "open_store",
]

_HOMES = {
    "AsyncSessionGuard": "async_guard", "KeyRing": "core.tokens", "PurgeReport": "core.reports",
    "Removed": "core.session", "Session": "core.session", "SessionGuard": "guard", "SessionPolicy": "core.policy",
    "SweepBrake": "core.braking", "SweepReport": "core.reports", "current_session": "context",
    "open_store": "stores.opening",
}
# fmt: on


def __getattr__(name: str) -> Any:
    # Loaded at first use: a program that only imports the package, as frameworks and plug-ins do, pays for nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
