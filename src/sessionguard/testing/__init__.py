"""The proofs, for any store and any app: the contract kit, races on demand, histories, real faults, real servers.

Importing this package loads nothing; each name is loaded when it is first asked for, so that pytest and Hypothesis
(the extra `[testing]`) are needed only where they are used. `docs/reference/testing.md` says what each one is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessionguard.testing.contracts.capabilities import (
        PER_PROCESS,
        Capabilities,
    )
    from sessionguard.testing.contracts.contract import (
        StoreContract,
    )
    from sessionguard.testing.contracts.verdicts import (
        Verdict,
        verdicts,
    )
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
    from sessionguard.testing.history import (
        Actor,
        History,
        HistoryError,
        Illegal,
        Key,
        Legal,
        Model,
        Objection,
        Operation,
        Recording,
        SessionModel,
        Unknown,
        UnknownVerdictWarning,
        check,
        merge,
        recorded,
        recorded_async,
        require_legal,
    )
    from sessionguard.testing.history import (
        Budget as CheckBudget,
    )
    from sessionguard.testing.model import (
        ModelStore,
    )
    from sessionguard.testing.profile import (
        CI,
        DEEP,
        Profile,
    )
    from sessionguard.testing.schedule import (
        Budget,
        Execution,
        Failure,
        Interleaver,
        NondeterministicScenario,
        Outcome,
        Patience,
        ReplayId,
        Scenario,
        Violation,
        VirtualClock,
    )
    from sessionguard.testing.schedule.errors import (
        NotFollowedWarning,
    )
    from sessionguard.testing.servers import (
        EngineMissingError,
        PostgresServer,
        RedisCluster,
        RedisSentinel,
        RedisServer,
        find_postgres,
        find_redis,
        postgres_installations,
        redis_installations,
    )

__all__ = [
    "CI",
    "DEEP",
    "PER_PROCESS",
    "Actor",
    "Budget",
    "CancelError",
    "CancelPoint",
    "CancelReport",
    "Capabilities",
    "CheckBudget",
    "ChildError",
    "ChildProcess",
    "EngineMissingError",
    "Execution",
    "Failure",
    "History",
    "HistoryError",
    "Illegal",
    "Interleaver",
    "Key",
    "Legal",
    "Model",
    "ModelStore",
    "NondeterministicScenario",
    "NotFollowedWarning",
    "Objection",
    "Operation",
    "Outcome",
    "Patience",
    "PostgresServer",
    "Profile",
    "Recording",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ReplayId",
    "Scenario",
    "SessionModel",
    "SmallDisk",
    "StoreContract",
    "TcpProxy",
    "Unknown",
    "UnknownVerdictWarning",
    "Verdict",
    "Violation",
    "VirtualClock",
    "WrongClock",
    "at_once",
    "cancel_everywhere",
    "check",
    "find_postgres",
    "find_redis",
    "in_children",
    "killed_while",
    "merge",
    "play_all",
    "postgres_installations",
    "recorded",
    "recorded_async",
    "redis_installations",
    "require_legal",
    "small_disk",
    "verdicts",
    "wrong_clock",
]

_HOMES = {
    "CI": "profile",
    "DEEP": "profile",
    "PER_PROCESS": "contracts.capabilities",
    "Actor": "history",
    "Budget": "schedule",
    "CancelError": "faults",
    "CancelPoint": "faults",
    "CancelReport": "faults",
    "Capabilities": "contracts.capabilities",
    "CheckBudget": "history:Budget",
    "ChildError": "faults",
    "ChildProcess": "faults",
    "EngineMissingError": "servers",
    "Execution": "schedule",
    "Failure": "schedule",
    "History": "history",
    "HistoryError": "history",
    "Illegal": "history",
    "Interleaver": "schedule",
    "Key": "history",
    "Legal": "history",
    "Model": "history",
    "ModelStore": "model",
    "NondeterministicScenario": "schedule",
    "Place": "machines",
    "NotFollowedWarning": "schedule.errors",
    "Objection": "history",
    "Operation": "history",
    "Outcome": "schedule",
    "Patience": "schedule",
    "PostgresServer": "servers",
    "Profile": "profile",
    "Recording": "history",
    "RedisCluster": "servers",
    "RedisSentinel": "servers",
    "RedisServer": "servers",
    "ReplayId": "schedule",
    "Scenario": "schedule",
    "SessionModel": "history",
    "SessionGuardMachine": "machines",
    "SmallDisk": "faults",
    "StoreContract": "contracts.contract",
    "TcpProxy": "faults",
    "Unknown": "history",
    "UnknownVerdictWarning": "history",
    "Verdict": "contracts.verdicts",
    "Violation": "schedule",
    "VirtualClock": "schedule",
    "WrongClock": "faults",
    "at_once": "faults",
    "cancel_everywhere": "faults",
    "check": "history",
    "find_postgres": "servers",
    "find_redis": "servers",
    "in_children": "faults",
    "killed_while": "faults",
    "merge": "history",
    "play_all": "faults",
    "postgres_installations": "servers",
    "recorded": "history",
    "recorded_async": "history",
    "redis_installations": "servers",
    "require_legal": "history",
    "small_disk": "faults",
    "verdicts": "contracts.verdicts",
    "wrong_clock": "faults",
}
"""Module below this package, and the name there if it is another one."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{home}"), there or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
