"""Session values as Django's users know them: what the session serializer makes of them, kept as JSON."""

import json
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.sessions.serializers import JSONSerializer

from sessionguard.errors import ConfigurationError

_CONTAINERS: Final = (dict, list)


def stored(values: Mapping[Any, Any], serializer: type[Any]) -> dict[str, Any]:
    """Give `values` as they come back from JSON: keys are text, tuples are lists, nothing is shared with them.

    Raises:
        TypeError: the serializer does not take a value, as Django's does not take a datetime.
        ConfigurationError: what the serializer writes is not JSON.
    """
    written = serializer().dumps(values)
    try:
        found = json.loads(written)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        name = f"{serializer.__module__}.{serializer.__qualname__}"
        remedy = "session data are kept as JSON; use django.contrib.sessions.serializers.JSONSerializer"
        raise ConfigurationError("SESSION_SERIALIZER", name, remedy)
    return found


def given(fields: Mapping[str, Any], serializer: type[Any]) -> dict[str, Any]:
    """Give what views see of the stored `fields`, sharing no list or object with them."""
    if serializer is not JSONSerializer:
        decoded: dict[str, Any] = serializer().loads(json.dumps(dict(fields)).encode("latin-1"))
        return decoded
    if not has_containers(fields):
        return dict(fields)
    plain: dict[str, Any] = copied(dict(fields))
    return plain


def copied(stored: Any) -> Any:
    """Give a stored value that shares nothing with it."""
    return json.loads(json.dumps(stored))


def has_containers(values: Mapping[Any, Any]) -> bool:
    """Tell whether a value could be changed in place."""
    return any(isinstance(value, _CONTAINERS) for value in values.values())
