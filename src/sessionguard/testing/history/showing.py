"""Operations as text: short enough for a line, with the same short name for a session wherever it is shown."""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, cast

import attrs

from sessionguard.core import commands as c
from sessionguard.core import leases as le
from sessionguard.core.records import NewSession, SessionRecord

_LONGEST: Final = 110
_SHORT_ID: Final = 6


def shown(operation: Any) -> str:
    """Give an operation as what was asked and what came of it."""
    ending = {"ok": " => ", "fail": " failed: ", "info": " ?? "}[operation.outcome]
    result = shown_value(operation.result) if operation.outcome == "ok" else operation.result
    return cut(f"{called(operation)}{ending}{result}")


def called(operation: Any) -> str:
    """Give what was asked."""
    command = operation.args.get("command")
    if isinstance(command, c.Command):
        return _asked(command)
    args = ", ".join(f"{name}={shown_value(value)}" for name, value in operation.args.items())
    return f"{operation.name}({args})"


def shown_value(value: Any) -> str:
    """Give a value as short text; of a record what others can change."""
    match value:
        case SessionRecord():
            return _record(value)
        case NewSession():
            return f"{short(value.id)} of {value.owner!r} {value.data}"
        case c.Opened() | c.Loaded() | c.Changed():
            return _reply(value)
        case c.Ended() | c.PageOfRecords():
            return "[" + ", ".join(shown_value(record) for record in value.records) + "]"
        case c.Purged():
            return f"{value.count} forgotten"
        case c.LockReply():
            return f"{value.outcome.value}, fence {value.fence}"
        case le.LeaseReply():
            return f"{value.outcome.value}, fence {value.fence} of {value.floor} or more, {value.reason or 'active'}"
        case Enum():
            return str(value.value)
        case bytes():
            return value.hex()[:_SHORT_ID]
        case Mapping():
            return "{" + ", ".join(f"{name}: {shown_value(item)}" for name, item in value.items()) + "}"
        case str() if len(value) in (34, 32) and set(value) <= set("0123456789abcdef"):
            return short(value)
    return repr(value)


def short(session_id: str) -> str:
    """Give the end of an id: what it begins with is the same for all sessions of an owner."""
    return session_id[-_SHORT_ID:]


def cut(text: str) -> str:
    """Give the text, cut to what fits in a line."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _asked(command: c.Command[Any]) -> str:
    parts: list[str] = []
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(command))):
        value = getattr(command, field.name)
        if field.name in ("operation_id", "meant", "limit_bytes", "at") or value is None or value == ():
            continue
        if field.name == "extends" and value:
            continue
        if field.name == "changes":
            parts.append(json.dumps({name: json.loads(text) for name, text in value.items()}, ensure_ascii=False))
        elif field.name in ("session_id", "new", "owner"):
            parts.append(shown_value(value))
        else:
            parts.append(f"{field.name}={shown_value(value)}")
    at = getattr(command, "at", None)
    when = f" at {at:%H:%M:%S.%f}".rstrip("0").rstrip(".") if at is not None else ""
    return f"{command.verb}({', '.join(parts)}){when}"


def _reply(reply: c.Opened | c.Loaded | c.Changed) -> str:
    parts = [] if isinstance(reply, c.Opened) else [_said(reply)]
    if isinstance(reply, c.Opened) and reply.is_refused:
        parts.append("refused")
    elif reply.record is not None:
        parts.append(_record(reply.record))
    if not isinstance(reply, c.Loaded) and reply.ended:
        parts.append("ended " + ", ".join(shown_value(record) for record in reply.ended))
    if not isinstance(reply, c.Changed) and reply.touched:
        parts.append("touched")
    return "; ".join(part for part in parts if part)


def _said(reply: c.Loaded | c.Changed) -> str:
    return reply.outcome.value if isinstance(reply, c.Changed) else reply.refusal or ""


def _record(record: SessionRecord) -> str:
    state = "" if record.reason is None else f" ({record.reason})"
    return f"{short(record.id)}{state} v{record.version} g{record.generation} {record.data}"
