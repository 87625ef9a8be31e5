"""The proofs, for any store and any app: the store contract kit, its planted bugs, real faults and real servers.

Importing this package loads nothing; each name is loaded when it is first asked for, so that pytest and Hypothesis
(the extra `[testing]`) are needed only where they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessionguard.testing.contracts.capabilities import PER_PROCESS, Capabilities
    from sessionguard.testing.contracts.contract import StoreContract
    from sessionguard.testing.contracts.verdicts import Verdict, verdicts
    from sessionguard.testing.faults import (
        CancelError,
        CancelPoint,
        CancelReport,
        ChildError,
        ChildProcess,
        SmallDisk,
        TcpProxy,
        WrongClock,
        at_once,
        cancel_everywhere,
        in_children,
        killed_while,
        play_all,
        small_disk,
        wrong_clock,
    )
    from sessionguard.testing.profile import CI, DEEP, Profile
    from sessionguard.testing.schedule import Interleaver, NondeterministicScenario, VirtualClock
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
    "CancelError",
    "CancelPoint",
    "CancelReport",
    "Capabilities",
    "ChildError",
    "ChildProcess",
    "EngineMissingError",
    "Interleaver",
    "NondeterministicScenario",
    "PostgresServer",
    "Profile",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "SmallDisk",
    "StoreContract",
    "TcpProxy",
    "Verdict",
    "VirtualClock",
    "WrongClock",
    "at_once",
    "cancel_everywhere",
    "find_postgres",
    "find_redis",
    "in_children",
    "killed_while",
    "play_all",
    "small_disk",
    "verdicts",
    "wrong_clock",
]

_HOMES = {
    "CI": "profile",
    "DEEP": "profile",
    "PER_PROCESS": "contracts.capabilities",
    "CancelError": "faults",
    "CancelPoint": "faults",
    "CancelReport": "faults",
    "Capabilities": "contracts.capabilities",
    "ChildError": "faults",
    "ChildProcess": "faults",
    "EngineMissingError": "servers",
    "Interleaver": "schedule",
    "NondeterministicScenario": "schedule",
    "PostgresServer": "servers",
    "Profile": "profile",
    "RedisCluster": "servers",
    "RedisSentinel": "servers",
    "RedisServer": "servers",
    "SmallDisk": "faults",
    "StoreContract": "contracts.contract",
    "TcpProxy": "faults",
    "Verdict": "contracts.verdicts",
    "VirtualClock": "schedule",
    "WrongClock": "faults",
    "at_once": "faults",
    "cancel_everywhere": "faults",
    "find_postgres": "servers",
    "find_redis": "servers",
    "in_children": "faults",
    "killed_while": "faults",
    "play_all": "faults",
    "small_disk": "faults",
    "verdicts": "contracts.verdicts",
    "wrong_clock": "faults",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
