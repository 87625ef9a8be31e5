"""How commands print: tables for people, JSON for programs, and never a token."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sessionguard import Session


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    print("\n".join(_visible_json(line) for line in json.dumps(value, indent=2, ensure_ascii=False).split("\n")))


def json_line(value: object) -> str:
    """Give `value` as JSON of one line that is fit for a terminal."""
    return _visible_json(json.dumps(value, ensure_ascii=False))


def _visible_json(line: str) -> str:
    # Not by `visible`, which writes \x9b, and JSON has no such escape.
    return "".join(mark if mark.isprintable() else json.dumps(mark)[1:-1] for mark in line)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns under their headings."""
    cells = [list(headings), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one field a line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        print(f"{name.ljust(width)}  {visible(value)}")


def counted(count: int, noun: str) -> str:
    """Give "1 session" or "2 sessions"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def visible(value: object) -> str:
    """Give `value` as text of one line; owners and scopes may hold anything, also what would steer a terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in str(value))


def session_fields(session: Session) -> dict[str, Any]:
    """Give what may be shown of a session, with instants as datetimes; neither token nor data are in it."""
    return {
        "session_id": session.id,
        "scope": session.scope,
        "owner": session.owner,
        "external_id": session.external_id,
        "exclusive": session.exclusive,
        "status": session.status,
        "reason": session.reason,
        "created_at": session.created_at,
        "last_seen_at": session.last_seen_at,
        "expires_at": session.expires_at,
        "ended_at": session.ended_at,
        "version": session.version,
        "generation": session.generation,
    }


def as_plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give `fields` with instants as ISO text, ready for JSON."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
