"""Procedures that open sessions, and the calls that read and change one: each one script, so one round trip."""

import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from attrs import define, field

from sessionguard.core import commands as c
from sessionguard.core.data import EMPTY
from sessionguard.core.instants import to_us
from sessionguard.core.records import NewSession
from sessionguard.core.tokens import shard_of
from sessionguard.core.visitors import visitor_of
from sessionguard.errors import StoreDataError
from sessionguard.stores.redis.asking import META, Address, Call, Procedure, Words
from sessionguard.stores.redis.keys import TAGS, Keys, operation
from sessionguard.stores.redis.scripts import SCRIPTS

FORMAT: Final = "1"
"""How sessions are laid out in keys; it grows when an older release could not read what a newer one wrote."""

# Not in the type stubs of the standard library.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_encode: Callable[[str], str] = json.JSONEncoder(ensure_ascii=False).encode


@define
class Home:
    """Where a store keeps its keys, the deployment that it found there, and who showed the way."""

    keys: Keys
    deployment_id: str | None = field(default=None)
    guide: Address | None = field(default=None)
    """The sentinel, or the node of the cluster, that last told where the shards are."""

    def call(self, script: str, tag: str, at: datetime | None, *arguments: bytes | str | int) -> Call:
        """Give the call of a script on one shard."""
        instant = "" if at is None else str(to_us(at))
        # What names no shard names no session either; any shard can say so.
        tag = tag if tag in self.keys.bases else TAGS[0]
        return Call(SCRIPTS[script], tag, self.keys.bases[tag], instant, arguments)

    def refused_by_replicas(self) -> tuple[str, Words]:
        """Give a question that changes nothing, but that a replica, whose data may be old, answers with an error."""
        return TAGS[0], ("EVAL", SCRIPTS["primary_only"].source, 1, self.keys.bases[TAGS[0]])


def identify(home: Home) -> Procedure[str]:
    """Give the deployment id, drawn now if there is none yet."""
    # An id that was known stays the id: other processes go by it, even if the server lost everything.
    drawn = f"{FORMAT} {home.deployment_id or secrets.token_hex(16)}"
    reply = yield Call(SCRIPTS["identify"], META, home.keys.meta, "", (drawn,))
    text: str = reply[2].decode("ascii", "replace")
    known, _, deployment_id = text.partition(" ")
    if known != FORMAT or len(deployment_id) != 32:
        raise StoreDataError(
            "redis",
            "identify",
            f"the sessions under the prefix {home.keys.prefix!r} have format {known[:8]!r}, this release knows "
            f"{FORMAT!r}; upgrade sessionguard, or choose another prefix",
        )
    if home.deployment_id is not None and deployment_id != home.deployment_id:
        raise _began_anew(home, "identify")
    home.deployment_id = deployment_id
    return deployment_id


def _began_anew(home: Home, verb: str) -> StoreDataError:
    return StoreDataError(
        "redis",
        verb,
        f"the server lost everything under the prefix {home.keys.prefix!r}, and others have begun there anew; "
        "restart this process",
    )


# Opening


NO_LIMIT: Final[Words] = ("", "", "", "", "")
"""What scripts are told that may have to make room, where they have not."""


def opening(home: Home, command: c.Create | c.GetOrCreate | c.Replace, limit: Words = NO_LIMIT) -> Procedure[Any]:
    """Give the reply to one that opens a session, or gives the one that is there."""
    new = command.new
    deployment_id = home.deployment_id or (yield from identify(home))
    call = home.call(
        command.verb,
        new.id[:2],
        command.at,
        new.id,
        operation(command.operation_id),
        deployment_id,
        *_described(new, limit),
    )
    reply = yield call
    if reply[2] == b"foreign shard":
        yield from _adopt(home, call.tag, command.verb)
        reply = yield call
    return reply


def _adopt(home: Home, tag: str, verb: str) -> Procedure[None]:
    """Begin a shard that belongs to no deployment, be it new or emptied behind our back."""
    deployment_id = yield from identify(home)
    reply = yield home.call("adopt", tag, None, deployment_id)
    if reply[2].decode("ascii", "replace") != deployment_id:
        raise _began_anew(home, verb)


def _described(new: NewSession, limit: Words) -> Words:
    lifetime = new.lifetime
    data = _fields(new.data)
    return (
        new.token_hash,
        new.scope,
        new.owner,
        new.external_id or "",
        lifetime.idle_us,
        lifetime.absolute_us,
        lifetime.touch_us,
        lifetime.retention_us,
        "1" if lifetime.keeps_data else "",
        sum(map(len, data)) + len(data),
        *limit,
        *data,
    )


def _fields(text: str) -> list[bytes]:
    """Give name and value of each field of a JSON object, as they are written there, by our own encoder."""
    if text == EMPTY:
        return []
    found: dict[str, str] = {}
    end = 0
    while text[end] != "}":
        # Behind "{" or ","; written without spaces, as all our JSON is.
        start = end + 1
        _, middle = _scan(text, start)
        _, end = _scan(text, middle + 1)
        found[text[start:middle]] = text[middle + 1 : end]
    return [part.encode() for pair in found.items() for part in pair]


# Reading


def load(home: Home, command: c.Load) -> Call:
    """Find the session of a token."""
    extends = "1" if command.extends else ""
    tag = shard_of(command.token_hash)
    return home.call("load", tag, command.at, command.token_hash, command.scope or "", extends)


def get(home: Home, command: c.Get) -> Call:
    """Give the record of one session."""
    return home.call("get", command.session_id[:2], command.at, command.session_id)


# Changing


def save(home: Home, command: c.Save) -> Call:
    """Replace and remove fields."""
    fence = command.fence
    gone = dict.fromkeys(command.remove)
    changes = [(name, value) for name, value in command.changes.items() if name not in gone]
    return home.call(
        "save",
        command.session_id[:2],
        command.at,
        command.session_id,
        operation(command.operation_id),
        "" if command.expected_version is None else command.expected_version,
        command.limit_bytes,
        "" if fence is None else fence.name,
        "" if fence is None else fence.number,
        visitor_of(command.meant) or "",
        len(changes),
        *[part for name, value in changes for part in (_encode(name), value)],
        *map(_encode, gone),
    )


def touch(home: Home, command: c.Touch) -> Call:
    """Extend a session."""
    visitor = visitor_of(command.meant) or ""
    return home.call("touch", command.session_id[:2], command.at, command.session_id, visitor)


def end(home: Home, command: c.End) -> Call:
    """End a session."""
    return home.call(
        "end",
        command.session_id[:2],
        command.at,
        command.session_id,
        operation(command.operation_id),
        command.reason,
        visitor_of(command.meant) or "",
    )


# Locks


def lock(home: Home, command: c.AcquireLock | c.RenewLock | c.ReleaseLock) -> Call:
    """Take, keep or give back a lock."""
    lease_us = "" if isinstance(command, c.ReleaseLock) else command.lease_us
    visitor = (visitor_of(command.meant) or "") if isinstance(command, c.AcquireLock) else ""
    return home.call(
        command.verb,
        command.session_id[:2],
        command.at,
        command.session_id,
        command.name,
        command.holder,
        lease_us,
        visitor,
    )
