"""Durations: a `timedelta` in every argument, and in every setting that or a number of seconds."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import SessionGuard, SessionPolicy
from sessionguard.adapters import settings, streaming
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.external import Bearer
from sessionguard.adapters.external.policies import ACCEPTANCE
from sessionguard.adapters.http import CookieSettings
from sessionguard.errors import ConfigurationError, InvalidArgumentError
from tests.adapters.asgi.test_asgi_middleware import serve

Passing = Callable[[SessionGuard, Any], object]

ARGUMENTS: dict[str, Passing] = {
    "idle_timeout": lambda guard, value: SessionPolicy(idle_timeout=value),
    "touch_interval": lambda guard, value: SessionPolicy(touch_interval=value),
    "rotation_grace": lambda guard, value: SessionPolicy(rotation_grace=value),
    "sweep_interval": lambda guard, value: SessionGuard.open("memory://", sweep_interval=value),
    "patience": lambda guard, value: SessionGuard.open("memory://", patience=value),
    "orphan_age": lambda guard, value: SessionGuard.open("memory://", orphan_age=value),
    "older_than": lambda guard, value: guard.purge(value),
    "timeout": lambda guard, value: guard.lock(guard.create("ana"), "a", timeout=value).__enter__(),
    "lock_timeout": lambda guard, value: SessionGuardMiddleware(serve, guard, lock_timeout=value),
    "check_interval": lambda guard, value: SessionGuardMiddleware(serve, guard, check_interval=value),
    "max_age": lambda guard, value: CookieSettings(max_age=value),
    "lifetime": lambda guard, value: Bearer(unsafe_bearer_external_ids=ACCEPTANCE, lifetime=value),
}

SETTINGS = {
    "IDLE_TIMEOUT", "ABSOLUTE_TIMEOUT", "SWEEP_INTERVAL", "ORPHAN_AGE", "LOCK_TIMEOUT", "CHECK_INTERVAL",
    "COOKIE_MAX_AGE",
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_take_no_bare_number(name: str) -> None:
    """60 may be seconds or minutes: it is refused, and the message says what to write instead."""
    with (
        SessionGuard.open("memory://") as guard,
        pytest.raises((ConfigurationError, InvalidArgumentError), match=r"write timedelta\(seconds=60\)"),
    ):
        ARGUMENTS[name](guard, 60)


def _read(name: str, value: object) -> None:
    found = settings.read({"SESSIONGUARD_URL": "memory://", "SESSIONGUARD_" + name: value}, streaming.KNOWN)
    guard = settings.guard_of(found, SessionGuard)
    settings.rules_of(found, guard)
    streaming.interval_of(found)
    guard.close()


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("value", [86_400, 86_400.0, timedelta(days=1)], ids=repr)
def test_settings_take_seconds(name: str, value: object) -> None:
    """For the environment holds no `timedelta`."""
    _read(name, value)


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("value", ["60", True, float("nan"), [60]], ids=repr)
def test_settings_take_nothing_else(name: str, value: object) -> None:
    """Text is refused as well: the environment's numbers are read before."""
    with pytest.raises(ConfigurationError, match=f"SESSIONGUARD_{name} .*timedelta or a number of seconds"):
        _read(name, value)


def test_no_setting_of_a_duration_is_left_out() -> None:
    """Every setting that says how long or how old is among those above."""
    named = {name for name in streaming.KNOWN if name.endswith(("TIMEOUT", "INTERVAL", "AGE", "GRACE"))}
    assert named == SETTINGS
