"""Telling early, and in words, that a guard was given the wrong kind of store or setting."""

from datetime import timedelta
from typing import Any, Final

from sessionguard.core.instants import with_unit
from sessionguard.errors import ConfigurationError, MisuseError

# inspect.CO_COROUTINE; inspect itself reads files, which core does not.
_IS_COROUTINE: Final = 0x80


def is_async_store(store: Any) -> bool:
    """Tell whether `store` has async verbs."""
    code = getattr(getattr(store, "load", None), "__code__", None)
    return code is not None and bool(code.co_flags & _IS_COROUTINE)


def valid_store(store: Any) -> Any:
    """Give `store` if it looks like a store at all, else raise `ConfigurationError`."""
    if not callable(getattr(store, "load", None)) or not callable(getattr(store, "get_or_create", None)):
        raise ConfigurationError(
            "store", type(store).__name__, "give a store object, or use SessionGuard.open with a store URL"
        )
    return store


def valid_age(setting: str, age: timedelta) -> timedelta:
    """Give `age` if it is a duration, which may be zero, else raise `ConfigurationError`."""
    if not isinstance(age, timedelta) or age < timedelta(0):
        raise ConfigurationError(setting, age, with_unit(age, "give a timedelta of zero or more"))
    return age


def interval_seconds(setting: str, interval: timedelta | None) -> float | None:
    """Give `interval` in seconds; None stays None."""
    if interval is None:
        return None
    if not isinstance(interval, timedelta) or interval <= timedelta(0):
        remedy = "give a timedelta above zero, or None to turn it off"
        raise ConfigurationError(setting, interval, with_unit(interval, remedy))
    return interval.total_seconds()


def patience_seconds(setting: str, patience: timedelta) -> float:
    """Give `patience` in seconds; zero is none."""
    if not isinstance(patience, timedelta) or patience < timedelta(0):
        raise ConfigurationError(setting, patience, with_unit(patience, "give a timedelta of zero or more"))
    return patience.total_seconds()


def may_forget(store: Any) -> bool:
    """Tell whether `store` may lose what it acknowledged; see `sessionguard.stores.contract.ForgetfulStore`."""
    return bool(getattr(getattr(store, "blocking", store), "may_forget", False))


def require_limits(store: Any) -> None:
    """Raise `ConfigurationError` if `store` keeps no limits; see `sessionguard.stores.contract.LimitingStore`."""
    if not getattr(getattr(store, "blocking", store), "limits_sessions", False):
        raise ConfigurationError(
            "SessionPolicy.max_active",
            f"with the {store.name} store",
            "this store does not limit the sessions of an owner; use one that does, such as sqlite://, or leave "
            "max_active out",
        )


def has_ability(store: Any, verb: str) -> bool:
    """Tell whether `store` has the optional ability to which `verb` belongs."""
    # A store behind threads has the methods of every ability; what it can do is what is behind it.
    return callable(getattr(getattr(store, "blocking", store), verb, None))


def required_ability(store: Any, verb: str, call: str) -> None:
    """Raise `MisuseError` if `store` lacks the optional ability behind `call`."""
    if not has_ability(store, verb):
        raise MisuseError(f"the {store.name} store cannot do {call}; use a store that can, such as sqlite://")
