"""Settings from `app.config`, all of them under SESSIONGUARD_."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sessionguard.adapters.http import CookieSettings
from sessionguard.core.policy import SessionPolicy
from sessionguard.errors import ConfigurationError
from sessionguard.guard import SessionGuard

PREFIX: Final = "SESSIONGUARD_"
_GUARD: Final = frozenset({"URL", "WORKSPACES", "KEYS", "POLICY", "IDLE_TIMEOUT", "ABSOLUTE_TIMEOUT"})
_COOKIE: Final = frozenset({"COOKIE_NAME", "COOKIE_SECURE", "COOKIE_SAMESITE", "COOKIE_PATH", "COOKIE_DOMAIN"})
_VISIT: Final = frozenset({"SCOPE", "CONCURRENCY", "LOCK_TIMEOUT"})


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give our settings without their prefix.

    Raises:
        ConfigurationError: one is not known. A misspelt limit would not limit anything.
    """
    settings = {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
    known = _GUARD | _COOKIE | _VISIT
    for key in settings:
        if key not in known:
            # Without its value: what stands under a misspelt KEYS is a secret.
            raise ConfigurationError(
                PREFIX + key, "(not shown)", f"there is no such setting; there are: {', '.join(sorted(known))}"
            )
    return settings


def guard_of(settings: Mapping[str, Any]) -> SessionGuard:
    """Open the guard that `settings` describe."""
    url = settings.get("URL")
    if not isinstance(url, str) or not url:
        raise ConfigurationError.of_url(
            url,
            'name a store, such as "sqlite:///var/sessions.db", or pass guard= to the extension',
            setting=PREFIX + "URL",
        )
    options = {"keys": settings["KEYS"]} if "KEYS" in settings else {}
    workspaces = settings.get("WORKSPACES")
    return SessionGuard.open(
        url,
        workspaces=None if workspaces is None else Path(workspaces),
        policy=_policy_of(settings),
        **options,
    )


def cookie_of(settings: Mapping[str, Any]) -> CookieSettings:
    """Give the cookie that `settings` describe."""
    return CookieSettings(**{key.removeprefix("COOKIE_").lower(): settings[key] for key in _COOKIE & settings.keys()})


def visit_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the rules for requests that `settings` name."""
    options = {key.lower(): settings[key] for key in _VISIT & settings.keys()}
    if "lock_timeout" in options:
        options["lock_timeout"] = _duration("LOCK_TIMEOUT", options["lock_timeout"])
    return options


def _policy_of(settings: Mapping[str, Any]) -> Any:
    timeouts: dict[str, Any] = {
        key.lower(): _duration(key, settings[key]) for key in ("IDLE_TIMEOUT", "ABSOLUTE_TIMEOUT") if key in settings
    }
    policy = settings.get("POLICY")
    if policy is None:
        return SessionPolicy(**timeouts)
    if timeouts:
        raise ConfigurationError(PREFIX + "POLICY", policy, "give the timeouts in the policy, or no policy")
    return policy


def _duration(key: str, value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    # Numbers are what an environment variable can hold (`app.config.from_prefixed_env()`).
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    raise ConfigurationError(PREFIX + key, value, "give a datetime.timedelta or a number of seconds")
