"""Session values as Flask's users know them: tuples, bytes, UUIDs, datetimes and Markup survive as tagged JSON."""

from collections.abc import Mapping
from typing import Any, Final

from flask import json
from flask.json.tag import TaggedJSONSerializer

from sessionguard.adapters.fields import PLAIN
from sessionguard.core.data import differing

_serializer: Final = TaggedJSONSerializer()


def untagged(stored: Any) -> Any:
    """Give the value that `stored` describes, sharing no list or object with it."""
    if isinstance(stored, dict):
        return _serializer.untag({key: untagged(item) for key, item in stored.items()})
    if isinstance(stored, list):
        return [untagged(item) for item in stored]
    return stored


def changed(stored: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of `values`, as they are to be stored, that are not already so in `stored`.

    Raises:
        TypeError: a value is of a type that Flask cannot turn into JSON; the message names its field.
    """
    tagged = {name: value if type(value) in PLAIN else _serializer.tag(value) for name, value in values.items()}
    encoded: dict[str, Any] = {}
    for name, value in differing(stored, tagged).items():
        if type(value) in PLAIN:
            encoded[name] = value
            continue
        try:
            # Through Flask's own encoder: it also takes dates, decimals, dataclasses and keys that are no text.
            encoded.update(json.loads(json.dumps({name: value})))
        except TypeError as error:
            raise TypeError(f"flask.session[{name!r}] cannot be stored: {error}") from error
    return encoded
