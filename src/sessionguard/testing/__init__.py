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
    from sessionguard.testing.contracts.places.capabilities import (
        PlaceCapabilities,
    )
    from sessionguard.testing.contracts.places.contract import (
        WorkspaceContract,
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
    from sessionguard.testing.machines import (
        Place,
        SessionGuardMachine,
        TraceError,
        machine_settings,
        run_guard_machine,
    )
    from sessionguard.testing.model import (
        ModelStore,
    )
    from sessionguard.testing.model.folders import (
        ModelWorkspaces,
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
        S3Server,
        find_moto,
        find_postgres,
        find_redis,
        postgres_installations,
        redis_installations,
    )
    from sessionguard.testing.storms import (
        async_storm,
        storm,
        storm_of_killed,
        storm_of_processes,
    )
    from sessionguard.testing.sweeps import (
        CrossedReplyError,
        InterruptReport,
        LeakError,
        Other,
        SweepError,
        SweepReport,
        cancel_sweep,
        fork_sweep,
        interrupt_sweep,
        jump_sweep,
        kill_sweep,
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
    "CrossedReplyError",
    "EngineMissingError",
    "Execution",
    "Failure",
    "History",
    "HistoryError",
    "Illegal",
    "Interleaver",
    "InterruptReport",
    "Key",
    "LeakError",
    "Legal",
    "Model",
    "ModelStore",
    "ModelWorkspaces",
    "NondeterministicScenario",
    "NotFollowedWarning",
    "Objection",
    "Operation",
    "Other",
    "Outcome",
    "Patience",
    "Place",
    "PlaceCapabilities",
    "PostgresServer",
    "Profile",
    "Recording",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ReplayId",
    "S3Server",
    "Scenario",
    "SessionGuardMachine",
    "SessionModel",
    "SmallDisk",
    "StoreContract",
    "SweepError",
    "SweepReport",
    "TcpProxy",
    "TraceError",
    "Unknown",
    "UnknownVerdictWarning",
    "Verdict",
    "Violation",
    "VirtualClock",
    "WorkspaceContract",
    "WrongClock",
    "async_storm",
    "at_once",
    "cancel_everywhere",
    "cancel_sweep",
    "check",
    "find_moto",
    "find_postgres",
    "find_redis",
    "fork_sweep",
    "in_children",
    "interrupt_sweep",
    "jump_sweep",
    "kill_sweep",
    "killed_while",
    "machine_settings",
    "merge",
    "play_all",
    "postgres_installations",
    "recorded",
    "recorded_async",
    "redis_installations",
    "require_legal",
    "run_guard_machine",
    "small_disk",
    "storm",
    "storm_of_killed",
    "storm_of_processes",
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
    "CrossedReplyError": "sweeps",
    "EngineMissingError": "servers",
    "Execution": "schedule",
    "Failure": "schedule",
    "History": "history",
    "HistoryError": "history",
    "Illegal": "history",
    "Interleaver": "schedule",
    "InterruptReport": "sweeps",
    "Key": "history",
    "LeakError": "sweeps",
    "Legal": "history",
    "Model": "history",
    "ModelStore": "model",
    "ModelWorkspaces": "model.folders",
    "NondeterministicScenario": "schedule",
    "NotFollowedWarning": "schedule.errors",
    "Objection": "history",
    "Operation": "history",
    "Other": "sweeps",
    "Outcome": "schedule",
    "Patience": "schedule",
    "Place": "machines",
    "PlaceCapabilities": "contracts.places.capabilities",
    "PostgresServer": "servers",
    "Profile": "profile",
    "Recording": "history",
    "RedisCluster": "servers",
    "RedisSentinel": "servers",
    "RedisServer": "servers",
    "S3Server": "servers",
    "ReplayId": "schedule",
    "Scenario": "schedule",
    "SessionGuardMachine": "machines",
    "SessionModel": "history",
    "SmallDisk": "faults",
    "StoreContract": "contracts.contract",
    "SweepError": "sweeps",
    "SweepReport": "sweeps",
    "TcpProxy": "faults",
    "TraceError": "machines",
    "Unknown": "history",
    "UnknownVerdictWarning": "history",
    "Verdict": "contracts.verdicts",
    "Violation": "schedule",
    "VirtualClock": "schedule",
    "WorkspaceContract": "contracts.places.contract",
    "WrongClock": "faults",
    "async_storm": "storms",
    "at_once": "faults",
    "cancel_everywhere": "faults",
    "cancel_sweep": "sweeps",
    "check": "history",
    "find_moto": "servers",
    "find_postgres": "servers",
    "find_redis": "servers",
    "fork_sweep": "sweeps",
    "in_children": "faults",
    "interrupt_sweep": "sweeps",
    "jump_sweep": "sweeps",
    "kill_sweep": "sweeps",
    "killed_while": "faults",
    "machine_settings": "machines",
    "merge": "history",
    "play_all": "faults",
    "postgres_installations": "servers",
    "recorded": "history",
    "recorded_async": "history",
    "redis_installations": "servers",
    "require_legal": "history",
    "run_guard_machine": "machines",
    "small_disk": "faults",
    "storm": "storms",
    "storm_of_killed": "storms",
    "storm_of_processes": "storms",
    "verdicts": "contracts.verdicts",
    "wrong_clock": "faults",
}
"""Module below this package, and the name there if it is another one."""

_PACKAGES = {"pytest": "pytest>=8", "hypothesis": "hypothesis>=6.100"}
"""What the extra `[testing]` brings."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _HOMES[name].partition(":")
    try:
        module = import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        from sessionguard.errors import MissingExtraError

        raise MissingExtraError("testing", _PACKAGES[error.name]) from error
    return getattr(module, there or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
