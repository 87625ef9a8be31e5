"""Listing sessions page by page: those of one owner by their entries, newest first, all others by id."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import settled
from sessionguard.core.paging import from_cursor, to_cursor
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of, shard_tag
from sessionguard.stores.file.openings import instant_us
from sessionguard.stores.file.rows import Row
from sessionguard.stores.file.sessions import is_id, owner_folder, owner_prefix, row_of
from sessionguard.stores.file.shards import Shards
from sessionguard.stores.file.views import View

_SUFFIX: Final = ".json"

Matches = Callable[[SessionRecord], bool]


def ids_of_owner(view: View, owner: str) -> list[str]:
    """Give the ids that are entered for an owner, newest first."""
    return [session_id for _, session_id in _entries_of_owner(view, owner)]


def _entries_of_owner(view: View, owner: str) -> list[tuple[int, str]]:
    prefix, found = owner_prefix(owner), list[tuple[int, str]]()
    for name in view.names(owner_folder(owner)):
        created, _, session_id = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and created.isdigit() and is_id(session_id):
            found.append((-int(created), session_id))
    return sorted(found)


def page(shards: Shards, command: c.Page) -> c.PageOfRecords:
    """Give one page: newest first for one owner, by id otherwise."""
    matches = partial(_matches, command)
    now_us = instant_us(command.at)
    if command.owner is None:
        found = _by_id(shards, command, now_us, matches)
    else:
        home = shard_tag(shards.folder.deployment_id, command.owner)
        found = shards.read(home, partial(_newest_first, shards, command, now_us, matches))
    records = tuple(found[: command.limit])
    if len(found) <= command.limit:
        return c.PageOfRecords(records, None)
    return c.PageOfRecords(records, records[-1].id if command.owner is None else to_cursor(records[-1]))


def _matches(command: c.Page, record: SessionRecord) -> bool:
    return (
        command.scope in (None, record.scope)
        and command.owner in (None, record.owner)
        and (command.status is None or (command.status == "active") == (record.reason is None))
    )


def _newest_first(shards: Shards, command: c.Page, now_us: int, matches: Matches, home: View) -> list[SessionRecord]:
    assert command.owner is not None
    after = None if command.cursor is None else from_cursor(command.cursor)
    found: list[SessionRecord] = []
    for entry in _entries_of_owner(home, command.owner):
        if after is None or entry > after:
            shard, find = shard_of(entry[1]), partial(_find, entry[1])
            # A session that received its owner later lies in another shard.
            row = find(home) if shard == home.shard else shards.read(shard, find)
            if row is not None and matches(record := settled(row.record, now_us)):
                found.append(record)
        if len(found) > command.limit:
            break
    return found


def _find(session_id: str, view: View) -> Row | None:
    return row_of(view, session_id)


def _by_id(shards: Shards, command: c.Page, now_us: int, matches: Matches) -> list[SessionRecord]:
    after, found = command.cursor or "", list[SessionRecord]()
    for shard in shards.folder.shards():
        if shard >= after[:2]:
            found += shards.read(shard, partial(_of_shard, after, command.limit + 1 - len(found), now_us, matches))
        if len(found) > command.limit:
            break
    return found


def _of_shard(after: str, limit: int, now_us: int, matches: Matches, view: View) -> list[SessionRecord]:
    found: list[SessionRecord] = []
    for session_id in _ids_in(view):
        row = row_of(view, session_id) if session_id > after else None
        if row is not None and matches(record := settled(row.record, now_us)):
            found.append(record)
        if len(found) == limit:
            break
    return found


def _ids_in(view: View) -> Iterator[str]:
    for name in sorted(view.names(f"{view.shard}/sessions")):
        session_id = name.removesuffix(_SUFFIX)
        if name.endswith(_SUFFIX) and is_id(session_id):
            yield session_id
