"""`flask sessionguard ...`: looks after the sessions of an application, over the guard of that application."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, Literal, TypeVar

import click
from flask.cli import AppGroup

from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.visits import VisitRules, blocking_guard
from sessionguard.errors import SessionGuardError
from sessionguard.guard import SessionGuard

R = TypeVar("R")

_COLUMNS: Final = ("session_id", "scope", "owner", "status", "reason", "last seen", "expires")


def group_of(rules: VisitRules) -> AppGroup:
    """Give the group of commands for the application with these rules."""
    group = AppGroup("sessionguard", help="Look after the sessions of this application.")
    guard = blocking_guard(rules)
    for command in (_listing(guard), _ending(guard), _sweeping(guard), _examining(rules, guard)):
        group.add_command(command)
    return group


def _listing(guard: SessionGuard) -> click.Command:
    @click.command("list")
    @click.option("--owner", help="Only of this owner.")
    @click.option("--scope", help="Only in this scope.")
    @click.option("--all", "is_all", is_flag=True, help="Ended ones, too.")
    @click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
    def listing(owner: str | None, scope: str | None, is_all: bool, limit: int) -> None:
        """List sessions, without their tokens and data."""
        status: Literal["active"] | None = None if is_all else "active"
        found = _told(lambda: [*islice(guard.sessions(scope=scope, owner=owner, status=status), limit + 1)])
        rows = [(s.id, s.scope, s.owner, s.status, s.reason, s.last_seen_at, s.expires_at) for s in found]
        _print_table([_COLUMNS, *rows[:limit]])
        if len(found) > limit:
            click.echo("and there are more (--limit)")

    return listing


def _ending(guard: SessionGuard) -> click.Command:
    @click.command("end")
    @click.argument("session_id", required=False)
    @click.option("--owner", help="End every session of this owner instead.")
    @click.option("--scope", help="With --owner: only in this scope.")
    @click.option("--reason", default="revoked", show_default=True, help="With a session_id: kept in the history.")
    def ending(session_id: str | None, owner: str | None, scope: str | None, reason: str) -> None:
        """End one session by its id, or all of an owner."""
        if (session_id is None) == (owner is None):
            raise click.UsageError("give a session_id or --owner")
        if owner is not None:
            click.echo(f"ended {_told(lambda: guard.end_owner(owner, scope=scope))}")
            return
        session = _told(lambda: guard.get(session_id or ""))
        ended = session and _told(lambda: guard.end(session, reason))
        if ended is None:
            known = "it has already ended" if session is not None else "there is no session with that id"
            raise click.ClickException(known)
        click.echo(f"ended {ended.id}, {ended.removed.files} files removed")

    return ending


def _sweeping(guard: SessionGuard) -> click.Command:
    @click.command("sweep")
    @click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="At most so many.")
    @click.option("--force", is_flag=True, help="Go on though a large share of all sessions is due.")
    @click.option("--dry-run", is_flag=True, help="Tell what would be done, and change nothing.")
    def sweeping(limit: int, force: bool, dry_run: bool) -> None:
        """End what has expired, remove its files, and forget what ended long ago."""
        report = _told(lambda: guard.sweep(limit, force=force, dry_run=dry_run))
        purged = 0 if dry_run or report.braked else _told(guard.purge).purged
        click.echo(
            f"ended {report.ended}, in use {report.skipped_in_use}, workspaces removed {report.workspaces_removed}, "
            f"forgotten {purged}{', and there is more to do' if report.has_more else ''}"
        )
        if report.braked:
            raise click.ClickException("a large share of all sessions is due, so none was ended; look why, or --force")

    return sweeping


def _examining(rules: VisitRules, guard: SessionGuard) -> click.Command:
    @click.command("doctor")
    def examining() -> None:
        """Tell whether the store answers, and what of the settings is risky."""
        report = _told(lambda: guard.sweep(dry_run=True))
        click.echo(f"ok       the store answers; {report.ended}{'+' if report.has_more else ''} sessions have expired")
        transport = rules.transport
        if isinstance(transport, CookieSettings) and not transport.secure:
            click.echo("warning  the cookie is sent over plain HTTP, too: leave SESSIONGUARD_COOKIE_SECURE out")
        if isinstance(transport, CookieSettings) and transport.domain is not None:
            click.echo(f"warning  every host below {transport.domain} gets the cookie (SESSIONGUARD_COOKIE_DOMAIN)")
        click.echo("         `sessionguard doctor --store URL` examines the store itself")

    return examining


def _told(call: Callable[[], R]) -> R:
    """Give what `call` gives; an error of ours is one line and a status, as of every command."""
    try:
        return call()
    except SessionGuardError as error:
        raise click.ClickException(str(error)) from error


def _print_table(rows: Sequence[Sequence[object]]) -> None:
    cells = [[_visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _visible(value: object) -> str:
    """Give `value` as text of one line; owners and scopes may hold anything, also what would steer a terminal."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in str(value))
