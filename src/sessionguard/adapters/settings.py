"""Settings from the configuration of any framework, all of them under SESSIONGUARD_."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from sessionguard.adapters.external import Claim, ExternalIds, Select, Strict
from sessionguard.adapters.http import CookieSettings, HeaderSettings, Transport
from sessionguard.adapters.visits.rules import NEEDS_BLOCKING, VisitRules
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.core.braking import SweepBrake
from sessionguard.core.policy import SessionPolicy
from sessionguard.errors import ConfigurationError, without_secrets
from sessionguard.guard import SessionGuard

Guard = TypeVar("Guard", SessionGuard, AsyncSessionGuard)

PREFIX: Final = "SESSIONGUARD_"
OF_GUARD: Final = frozenset({
    "URL", "WORKSPACES", "KEYS", "POLICY", "IDLE_TIMEOUT", "ABSOLUTE_TIMEOUT", "MAX_ACTIVE", "ON_LIMIT",
    "SWEEP_INTERVAL", "SWEEP_BRAKE", "ORPHAN_AGE",
})  # fmt: skip
_OF_OPENING: Final = OF_GUARD - {"URL", "WORKSPACES", "KEYS"}
"""Those that limit or clean up. Beside a guard they would be missed; of what the others name it was surely opened."""
TIMEOUTS: Final = frozenset({"IDLE_TIMEOUT", "ABSOLUTE_TIMEOUT"})
_LIMITS: Final = frozenset({"MAX_ACTIVE", "ON_LIMIT"})
_COOKIE: Final = frozenset({
    "COOKIE_NAME", "COOKIE_SECURE", "COOKIE_SAMESITE", "COOKIE_PATH", "COOKIE_DOMAIN", "COOKIE_MAX_AGE",
    "COOKIE_PARTITIONED",
})  # fmt: skip
_VISIT: Final = frozenset({"SCOPE", "CONCURRENCY", "LOCK_TIMEOUT"})
_EXTERNAL: Final = "EXTERNAL_IDS"
_POLICIES: Final = {"strict": Strict, "select": Select, "claim": Claim}
"""The policies for external ids that need no more than their name."""
_TRANSPORT: Final = frozenset({"TRANSPORT", "HEADER_NAME"})
KNOWN: Final = OF_GUARD | _COOKIE | _TRANSPORT | _VISIT | {_EXTERNAL}
"""The settings of every framework, without their prefix."""
_SWITCHES: Final = frozenset({"COOKIE_SECURE", "COOKIE_PARTITIONED"})
_OPTIONAL: Final = frozenset({
    "WORKSPACES", "MAX_ACTIVE", "SWEEP_INTERVAL", "SWEEP_BRAKE", "CHECK_INTERVAL", "COOKIE_DOMAIN", "COOKIE_MAX_AGE",
    "EXTERNAL_IDS",
})  # fmt: skip
"""The settings that may be None."""
_ARGUMENTS: Final = {
    "store URL": "URL", "workspaces": "WORKSPACES", "keys": "KEYS", "policy": "POLICY", "orphan_age": "ORPHAN_AGE",
    "sweep_interval": "SWEEP_INTERVAL",
}  # fmt: skip
"""What the library calls the values that these settings give."""

_log = logging.getLogger("sessionguard.adapters")


def read(config: Mapping[str, Any], known: frozenset[str] = KNOWN) -> dict[str, Any]:
    """Give our settings, which must be among `known`, without their prefix.

    Raises:
        ConfigurationError: one is not known. A misspelt limit would not limit anything.
    """
    settings = {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
    for key, value in settings.items():
        if key not in known:
            raise _misspelt(key, value, known)
    return {key: _meant(key, value) for key, value in settings.items()}


def _meant(key: str, value: object) -> object:
    """Give what `value` says if it is one of Python's words as text, as the environment and its copies hold them."""
    if not isinstance(value, str):
        return value
    if key in _SWITCHES:
        return {"true": True, "false": False}.get(value.lower(), value)
    return None if key in _OPTIONAL and value == "None" else value


def _misspelt(key: str, value: object, known: frozenset[str]) -> ConfigurationError:
    if key in KNOWN:
        return ConfigurationError(PREFIX + key, value, "there is no such setting here, for this adapter cannot do that")
    meant = ["URL"] if key == "STORE" else get_close_matches(key, known, 1, 0.8)
    # What stands under a misspelt KEYS is a secret, and what is like no setting may be one.
    shown = without_secrets(value) if meant and meant != ["KEYS"] and isinstance(value, str) else "(not shown)"
    remedy = f"there is no such setting; {f'is {PREFIX}{meant[0]} meant?' if meant else 'there are: '}"
    names = [] if meant else sorted(known)
    return ConfigurationError(PREFIX + key, shown, remedy + ", ".join(PREFIX + name for name in names))


def rules_of(settings: Mapping[str, Any], guard: SessionGuard | AsyncSessionGuard, **defaults: Any) -> VisitRules:
    """Give what `settings` say about the requests of an application; `defaults` hold where they say nothing."""
    return VisitRules(guard=guard, **{"transport": CookieSettings(), **defaults, **options_of(settings)})


def options_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give those arguments of `VisitRules` that `settings` say."""
    transport = {"transport": transport_of(settings)} if settings.keys() & (_COOKIE | _TRANSPORT) else {}
    return {**transport, **_visit_of(settings)}


def check_beside(settings: Mapping[str, Any], **arguments: Any) -> None:
    """Tell what of `settings` and the `arguments` of the same call does not go together.

    Raises:
        ConfigurationError: both say how tokens travel. Half of each would be a cookie that nobody meant.
    """
    if arguments.get("transport") is not None:
        _refuse(
            settings, _COOKIE | _TRANSPORT, "the argument `transport` says how tokens travel; leave one of both out"
        )


def check_unused(settings: Mapping[str, Any]) -> None:
    """Tell the log of `settings` that have no effect, because a guard was passed that was opened without them.

    Raises:
        ConfigurationError: one of them is impossible.
    """
    _policy_of(settings)
    _cleaning_of(settings)
    unused = ", ".join(PREFIX + key for key in sorted(_OF_OPENING & settings.keys()))
    if unused:
        _log.warning("%s: without effect, for a guard was passed; say it where that is opened", unused)


def blocking(guard: object) -> SessionGuard:
    """Give `guard`, which was passed to the adapter of a framework that blocks.

    Raises:
        ConfigurationError: it is none, or must be awaited.
    """
    if isinstance(guard, str):
        remedy = f"this is no guard yet; open one with SessionGuard.open(url), or set {PREFIX}URL"
        raise ConfigurationError.of_url(guard, remedy, setting="guard")
    if not isinstance(guard, SessionGuard):
        raise ConfigurationError("guard", type(guard).__name__, NEEDS_BLOCKING)
    return guard


def guard_of(settings: Mapping[str, Any], kind: type[Guard], **defaults: Any) -> Guard:
    """Open the guard that `settings` describe; `defaults` are for what they do not say."""
    url = settings.get("URL")
    if not isinstance(url, str) or not url:
        raise ConfigurationError.of_url(
            url,
            'name a store, such as "sqlite:///var/sessions.db", or pass a guard of your own',
            setting=PREFIX + "URL",
        )
    options = {**defaults, **({"keys": settings["KEYS"]} if "KEYS" in settings else {}), **_cleaning_of(settings)}
    policy = _policy_of(settings)
    try:
        return kind.open(url, workspaces=settings.get("WORKSPACES"), policy=policy, **options)
    except ConfigurationError as error:
        for argument, key in _ARGUMENTS.items():
            # A part of it follows: `workspaces, bucket`, `policy['upload']`.
            if error.setting.startswith(argument):
                raise error.renamed(PREFIX + key + error.setting.removeprefix(argument)) from error
        raise


def transport_of(settings: Mapping[str, Any]) -> Transport:
    """Give how tokens travel as `settings` say: in a cookie, or in a header."""
    transport = settings.get("TRANSPORT", "cookie")
    if transport == "cookie":
        _refuse(settings, {"HEADER_NAME"}, 'it needs SESSIONGUARD_TRANSPORT = "header"')
        cookie = {key.removeprefix("COOKIE_").lower(): settings[key] for key in _COOKIE & settings.keys()}
        if cookie.get("max_age") is not None:
            cookie["max_age"] = duration("COOKIE_MAX_AGE", cookie["max_age"])
        return CookieSettings(**cookie)
    if transport == "header":
        _refuse(settings, _COOKIE, 'no cookie is set with SESSIONGUARD_TRANSPORT = "header"; leave it out')
        return HeaderSettings(name=settings["HEADER_NAME"]) if "HEADER_NAME" in settings else HeaderSettings()
    raise ConfigurationError(PREFIX + "TRANSPORT", transport, 'give "cookie" or "header"')


def _refuse(settings: Mapping[str, Any], keys: Iterable[str], remedy: str) -> None:
    for key in sorted(settings.keys() & set(keys)):
        raise ConfigurationError(PREFIX + key, settings[key], remedy)


def _visit_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    options = {key.lower(): settings[key] for key in _VISIT & settings.keys()}
    if "lock_timeout" in options:
        options["lock_timeout"] = duration("LOCK_TIMEOUT", options["lock_timeout"])
    if settings.get(_EXTERNAL) is not None:
        options["external"] = _external_of(settings[_EXTERNAL])
    return options


def _external_of(value: object) -> ExternalIds:
    if isinstance(value, ExternalIds):
        return value
    policy = _POLICIES.get(value) if isinstance(value, str) else None
    if policy is None:
        names = ", ".join(f'"{name}"' for name in _POLICIES)
        raise ConfigurationError(PREFIX + _EXTERNAL, value, f"give {names}, or ExternalIds(policy=...)")
    return ExternalIds(policy=policy())


def _cleaning_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "SWEEP_INTERVAL" in settings:
        interval = settings["SWEEP_INTERVAL"]
        options["sweep_interval"] = None if interval is None else duration("SWEEP_INTERVAL", interval)
    if "ORPHAN_AGE" in settings:
        options["orphan_age"] = duration("ORPHAN_AGE", settings["ORPHAN_AGE"])
    if "SWEEP_BRAKE" in settings:
        options["brake"] = _brake_of(settings["SWEEP_BRAKE"])
    return options


def _brake_of(value: Any) -> SweepBrake | None:
    if value is None or isinstance(value, SweepBrake):
        return value
    try:
        return SweepBrake(share=value)
    except ConfigurationError as error:
        remedy = "give a number above zero and below one, or None for no brake"
        raise ConfigurationError(PREFIX + "SWEEP_BRAKE", value, remedy) from error


def _policy_of(settings: Mapping[str, Any]) -> Any:
    parts: dict[str, Any] = {key.lower(): duration(key, settings[key]) for key in TIMEOUTS & settings.keys()}
    parts |= {key.lower(): settings[key] for key in _LIMITS & settings.keys()}
    if "MAX_ACTIVE" not in settings:
        _refuse(settings, {"ON_LIMIT"}, f"without {PREFIX}MAX_ACTIVE there is no limit; give that as well")
    policy = settings.get("POLICY")
    if policy is None:
        return _policy_with(parts, settings)
    if parts:
        both = ", ".join(sorted(PREFIX + part.upper() for part in parts))
        raise ConfigurationError(PREFIX + "POLICY", policy, f"say in the policy what {both} would, or give no policy")
    return policy


def _policy_with(parts: Mapping[str, Any], settings: Mapping[str, Any]) -> SessionPolicy:
    try:
        return SessionPolicy(**parts)
    except ConfigurationError as error:
        key = error.setting.removeprefix("SessionPolicy.").upper()
        if key not in settings:
            # Only the other one was given, and is below the default of this one.
            remedy = f"it must not be below {PREFIX}{key}, by default {SessionPolicy().idle_timeout}; give that as well"
            raise ConfigurationError(PREFIX + "ABSOLUTE_TIMEOUT", settings["ABSOLUTE_TIMEOUT"], remedy) from error
        remedy = error.remedy.replace("absolute_timeout", PREFIX + "ABSOLUTE_TIMEOUT")
        if remedy != error.remedy and "ABSOLUTE_TIMEOUT" not in settings:
            remedy += f", by default {SessionPolicy().absolute_timeout}; give that as well"
        raise ConfigurationError(PREFIX + key, settings[key], remedy) from error


def duration(key: str, value: object) -> timedelta:
    """Give the duration that the setting `key` says, as such or in seconds; arguments are never bare numbers."""
    if isinstance(value, timedelta):
        return value
    # Numbers are what an environment variable can hold (`app.config.from_prefixed_env()`).
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Not a number, or more than a timedelta holds.
        with suppress(ValueError, OverflowError):
            return timedelta(seconds=value)
    raise ConfigurationError(PREFIX + key, value, "give a datetime.timedelta or a number of seconds")
