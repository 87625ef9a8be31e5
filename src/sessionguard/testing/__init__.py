"""The proofs, for any store and any app: the store contract kit, its profiles, its planted bugs.

Importing this package loads nothing; each name is loaded when it is first asked for, so that pytest and Hypothesis
(`pip install 'sessionguard[testing]'`) are needed only where they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessionguard.testing.contracts.capabilities import PER_PROCESS, Capabilities
    from sessionguard.testing.contracts.contract import StoreContract
    from sessionguard.testing.contracts.verdicts import Verdict, verdicts
    from sessionguard.testing.profile import CI, DEEP, Profile
    from sessionguard.testing.servers import (
        EngineMissingError,
        PostgresServer,
        RedisCluster,
        RedisSentinel,
        RedisServer,
        find_postgres,
        find_redis,
    )

__all__ = [
    "CI",
    "DEEP",
    "PER_PROCESS",
    "Capabilities",
    "EngineMissingError",
    "PostgresServer",
    "Profile",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "StoreContract",
    "Verdict",
    "find_postgres",
    "find_redis",
    "verdicts",
]

_HOMES = {
    "CI": "profile",
    "DEEP": "profile",
    "PER_PROCESS": "contracts.capabilities",
    "Capabilities": "contracts.capabilities",
    "EngineMissingError": "servers",
    "PostgresServer": "servers",
    "Profile": "profile",
    "RedisCluster": "servers",
    "RedisSentinel": "servers",
    "RedisServer": "servers",
    "StoreContract": "contracts.contract",
    "Verdict": "contracts.verdicts",
    "find_postgres": "servers",
    "find_redis": "servers",
    "verdicts": "contracts.verdicts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
