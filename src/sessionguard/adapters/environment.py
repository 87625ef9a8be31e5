"""Settings from the environment of the process, where everything is text."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from sessionguard.adapters import settings
from sessionguard.errors import ConfigurationError

_TEXTS: Final = frozenset({
    "URL", "WORKSPACES", "ON_LIMIT", "SCOPE", "CONCURRENCY", "TRANSPORT", "HEADER_NAME", "EXTERNAL_IDS", "COOKIE_NAME",
    "COOKIE_SAMESITE", "COOKIE_PATH", "COOKIE_DOMAIN",
})  # fmt: skip
"""The settings that are text, so that a scope "5" is no number."""

_log = logging.getLogger("sessionguard.adapters")


def read(config: Mapping[str, Any] | None, known: frozenset[str], *, has_guard: bool) -> dict[str, Any]:
    """Give the settings of `config`, or without one those of the environment, without their prefix.

    Beside a guard that was passed, what the environment has under other names is told in the log and left alone: it
    may be what the application itself opened that guard with.

    Raises:
        ConfigurationError: a setting is not known, or `config` is no mapping.
    """
    if config is not None and not isinstance(config, Mapping):
        remedy = "give a mapping with the settings SESSIONGUARD_*, or leave it out to read the environment"
        raise ConfigurationError("config", f"({type(config).__name__})", remedy)
    if config is not None and config is not os.environ:
        return settings.read(config, known)
    found = _said_by(os.environ)
    if has_guard:
        for key in sorted(found.keys() - {settings.PREFIX + name for name in known}):
            _log.warning("the environment has %s, which is no setting here and was passed over", key)
            del found[key]
    return settings.read(found, known)


def _said_by(environment: Mapping[str, str]) -> dict[str, Any]:
    """Give our settings as text, or as what the text says in JSON, such as a number."""
    found: dict[str, Any] = {}
    for key, text in environment.items():
        if key.startswith(settings.PREFIX):
            value = _said(text)
            is_fit = value is None or isinstance(value, str) or key.removeprefix(settings.PREFIX) not in _TEXTS
            found[key] = value if is_fit else text
    return found


def _said(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
