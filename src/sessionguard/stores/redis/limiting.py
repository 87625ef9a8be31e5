"""Procedures that add a session to those of an owner under a limit: one script, where all of them lie in one shard.

A session that was anonymous and received its owner later lies elsewhere, and has a seat in the owner's home shard,
where all are counted (`scripts/limiting.lua`). Only if a limit is met there, these are looked at: a seat whose session
is over is taken away; one whose session is yet to receive the owner is waited for, a few round trips, then barred;
and one whose session is to go is ended where it lies. What is decided in the home shard is decided by what was seen of
every seat that is there at that instant, so never are there more than allowed.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from attrs import define, field, frozen

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import LIMIT_REASON, Outcome
from sessionguard.core.limits import ActiveLimit, in_order
from sessionguard.core.records import REMEMBERED_US, SessionRecord
from sessionguard.core.tokens import shard_of, shard_tag
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.redis import replies
from sessionguard.stores.redis.asking import Procedure, Words
from sessionguard.stores.redis.keys import operation
from sessionguard.stores.redis.openings import Home, identify, opening

REMEMBERED_MS: Final = 2 * REMEMBERED_US // 1000
"""By the server's clock, which may run while the one of the commands stands still."""

_ATTEMPTS: Final = 200
_WAITS: Final = 10


@frozen
class Seat:
    """A place that a session in another shard takes among those of its owner."""

    member: str
    """`<note>:<id>:<scope>`"""

    @property
    def session_id(self) -> str:
        """Whose seat it is."""
        return self.member.split(":", 2)[1]

    @property
    def name(self) -> str:
        """What no other seat is called."""
        return self.member[: self.member.index(":", self.member.index(":") + 1)]


def opened(home: Home, command: c.Create | c.GetOrCreate | c.Replace) -> Procedure[c.Opened]:
    """Open a session, or give the one that is there, if the limit of its owner allows."""
    if command.at_most is None:
        return replies.to_opened((yield from opening(home, command)))
    deployment_id = home.deployment_id or (yield from identify(home))
    owner = command.new.owner
    asked = LimitedAsk.of(home, shard_tag(deployment_id, owner), owner, command.at_most, command)
    reply = yield from asked.reply(lambda limit: opening(home, command, limit))
    if reply[2] == b"full":
        return c.REFUSED
    opened = replies.to_opened(reply)
    elsewhere = yield from fetched(home, reply[5] if len(reply) > 5 else ())
    return c.Opened(opened.record, in_order((*opened.ended, *elsewhere, *asked.ended)), opened.touched)


@define
class LimitedAsk:
    """One command under a limit: asked in the home shard of the owner until that can say how it ends."""

    home: Home
    home_tag: str
    owner: str
    limit: ActiveLimit
    operation: str
    at: datetime | None
    verb: str
    ended: list[SessionRecord] = field(factory=list)
    """Whom it has ended in other shards."""
    _seen: dict[Seat, str] = field(factory=dict)
    """Seats of active sessions, with when these were created and last seen."""
    _over: set[Seat] = field(factory=set)
    """Seats of sessions that have expired, and are to be ended with what is asked."""
    _left: set[Seat] = field(factory=set)
    """Seats of those that it has ended: kept until all is done, so that a repetition finds them."""
    _waits: int = 0

    @classmethod
    def of(cls, home: Home, home_tag: str, owner: str, limit: ActiveLimit, command: Any) -> "LimitedAsk":
        """Give the asking of a command that adds a session to those of `owner`."""
        return cls(home, home_tag, owner, limit, operation(command.operation_id), command.at, command.verb)

    def words(self) -> Words:
        """Give what a script has to know to decide."""
        seen = [f"{seat.name}:{instants}" for seat, instants in self._seen.items()]
        seen += [f"{seat.name}::" for seat in (*self._over, *self._left)]
        before = " ".join(record.id for record in self.ended)
        return self.limit.most, self.limit.on_limit, " ".join(seen), before, REMEMBERED_MS

    def reply(self, ask: Callable[[Words], Procedure[Any]]) -> Procedure[Any]:
        """Give the final reply of a script that is asked with these words again and again."""
        for _ in range(_ATTEMPTS):
            reply = yield from ask(self.words())
            match reply[2]:
                case b"look":
                    yield from self._look(map(_seat, reply[3]))
                case b"elsewhere":
                    yield from self._end([name.decode("ascii") for name in reply[3]])
                case b"full":
                    known = list(self._seen)
                    yield from self._look(known)
                    # Whoever is over by now may have been so when it was decided: then there was a place.
                    if len(known) == len(self._seen):
                        return reply
                case _:
                    yield from self._clear_up()
                    return reply
        raise StoreUnavailableError(
            "redis", self.verb, "the sessions of its owner kept coming and going; ask again", transient=True
        )

    def _look(self, seats: Iterable[Seat]) -> Procedure[None]:
        empty: list[Seat] = []
        for tag, group in _by_shard(seats):
            bars = "1" if self._waits >= _WAITS else ""
            ids = [seat.session_id for seat in group]
            reply = yield self.home.call("look", tag, self.at, self.owner, bars, self.operation, *ids)
            for seat, (_, state, *told) in zip(group, reply[2], strict=True):
                self._seen.pop(seat, None)
                if state == b"alive":
                    self._seen[seat] = ":".join(instant.decode("ascii") for instant in told)
                elif state == b"over":
                    self._over.add(seat)
                elif state == b"ended":
                    # By this very command, before its answer was lost.
                    self._note(seat, replies.to_record(told[0]))
                elif state == b"gone" or bars:
                    empty.append(seat)
                else:
                    self._waits += 1
        if empty:
            # Without them there may be a place as it is, and nobody would have to go, not even who has expired.
            self._seen.clear()
            self._over.clear()
        yield from self._vacate(empty)

    def _end(self, ids: list[str]) -> Procedure[None]:
        """End sessions that lie elsewhere."""
        for seat in [seat for seat in self._seen if seat.session_id in ids]:
            session_id = seat.session_id
            call = self.home.call("end", shard_of(session_id), self.at, session_id, self.operation, LIMIT_REASON, "")
            changed = replies.to_changed((yield call))
            del self._seen[seat]
            if changed.outcome is Outcome.DONE and changed.record is not None:
                self._note(seat, changed.record)
            else:
                yield from self._vacate([seat])

    def _note(self, seat: Seat, record: SessionRecord) -> None:
        self._left.add(seat)
        if all(known.id != record.id for known in self.ended):
            self.ended.append(record)

    def _clear_up(self) -> Procedure[None]:
        """End who has expired, and take all seats away whose sessions are over."""
        for tag, group in _by_shard(self._over):
            ids = [seat.session_id for seat in group]
            self.ended += replies.to_records((yield self.home.call("sweep", tag, self.at, self.operation, *ids)))
        yield from self._vacate([*self._over, *self._left])

    def _vacate(self, seats: Iterable[Seat]) -> Procedure[None]:
        members = [seat.member for seat in seats]
        if members:
            yield self.home.call("vacate", self.home_tag, None, self.owner, *members)


def fetched(home: Home, names: Iterable[bytes]) -> Procedure[list[SessionRecord]]:
    """Give sessions by their ids, wherever they lie; those that are forgotten are left out."""
    records: list[SessionRecord] = []
    ids = sorted(name.decode("ascii") for name in names)
    for tag, group in groupby(ids, shard_of):
        records += replies.to_records((yield home.call("records", tag, None, *group)))
    return records


def _seat(member: bytes) -> Seat:
    return Seat(member.decode())


def _by_shard(seats: Iterable[Seat]) -> Iterator[tuple[str, list[Seat]]]:
    for tag, group in groupby(sorted(seats, key=_id_of), lambda seat: shard_of(seat.session_id)):
        yield tag, list(group)


def _id_of(seat: Seat) -> str:
    return seat.session_id
