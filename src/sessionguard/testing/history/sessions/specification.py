"""The life cycle of sessions as a specification: what each command may answer, in any order that the clock allows.

* At most one session of a slot is active, and generations grow.
* Ids and tokens lead to the session that was opened with them, and to no other.
* A save merges whole fields; with an expected version it is done if and only if that is the stored one.
* What has ended stays as it ended: nothing brings it back, and only a purge makes it unknown.
* A sweep ends only what has expired; an end touches no sibling.

A command takes effect at its own instant `at`, or else at any instant that the clock showed during the call.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from sessionguard.core import commands as c
from sessionguard.core import leases as le
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.testing.history.model import Model, Objection
from sessionguard.testing.history.operations import Operation
from sessionguard.testing.history.sessions import leases, locks, many, openings, singles
from sessionguard.testing.history.sessions.limits import MAKES_ROOM, makes_room, under_limit
from sessionguard.testing.history.sessions.lives import FOREVER, described
from sessionguard.testing.history.sessions.objections import objections
from sessionguard.testing.history.sessions.slots import EMPTY, Book, SlotState

SlotKey = tuple[str, ...]
"""("slot", scope, owner, external id) or ("session", id); the external id is left out where there is none."""

_Step = Callable[[Book, SlotState, Any, Any, int, int], Iterator[SlotState]]

_STEPS: Final[Mapping[str, _Step]] = {
    "create": under_limit(openings.create),
    "get_or_create": under_limit(openings.get_or_create),
    "replace": under_limit(openings.replace),
    "get": singles.get,
    "load": singles.load,
    "save": singles.save,
    "touch": singles.touch,
    "rotate": under_limit(singles.rotate),
    "end": singles.end,
    "end_owner": many.end_owner,
    "sweep": many.sweep,
    "purge": many.purge,
    "page": many.page,
    "acquire_lock": locks.acquire_lock,
    "renew_lock": locks.renew_lock,
    "release_lock": locks.release_lock,
    "hold_lease": leases.hold_lease,
    "release_lease": leases.release_lease,
    "leased_until": leases.leased_until,
    MAKES_ROOM: makes_room,
}
_CHANGES_NOTHING: Final = {"get", "page", "leased_until"}


@frozen
class _Index:
    """Where the sessions of a history belong."""

    keys: Mapping[str, SlotKey]
    """Session id -> the key of the command that opened it."""
    tokens: Mapping[bytes, str]
    """Token hash -> session id."""
    owners: Mapping[str, frozenset[SlotKey]]
    """Owner -> the keys of sessions that it has, or receives in a rotation."""
    swept: Mapping[str, frozenset[SlotKey]]
    """Operation id of a sweep -> the keys of the sessions in all its answers."""


class SessionModel(Model[SlotState]):
    """The specification of stores, for histories recorded by `recorded` on a store that was empty at the beginning.

    `slack_us` widens every instant that a clock other than the engine's showed, by so much on both sides.
    """

    def __init__(self, *, slack_us: int = 0) -> None:
        self._slack_us = slack_us
        self._index = _Index({}, {}, {}, {})
        self._book = Book({}, frozenset())

    def over(self, operations: Sequence[Operation]) -> "SessionModel":
        """Give the specification that knows where the sessions of this history belong."""
        model = SessionModel(slack_us=self._slack_us)
        commands = [operation.args["command"] for operation in operations if operation.name in _STEPS]
        born = {command.new.id: command.new for command in commands if hasattr(command, "new")}
        model._book = Book(born, _repeated(commands))
        model._index = _indexed(commands, operations)
        return model

    def objections(self, operations: Sequence[Operation]) -> Iterable[Objection]:
        """Give what cannot be right in whatever order it happened."""
        return objections([operation for operation in operations if operation.name in _STEPS], self._book.born)

    def initial(self) -> SlotState:
        """Give the state in which no session was ever opened."""
        return EMPTY

    def step(self, state: SlotState, operation: Operation) -> Iterable[SlotState]:
        """Give the states after a projected operation; none: its answer cannot be."""
        lo, hi = operation.clock_at_call, operation.clock_at_ret
        assert lo is not None
        assert hi is not None
        return _STEPS[operation.name](self._book, state, operation.args["command"], operation.result, lo, hi)

    def only_reads(self, operation: Operation) -> bool:
        """Tell whether the answer says that nothing was changed."""
        command, reply = operation.args["command"], operation.result
        match reply:
            case None | SessionRecord() | c.PageOfRecords():
                return operation.outcome == "ok"
            case c.Loaded():
                return not reply.touched
            case c.Opened():
                return reply.is_refused or (reply.record.id != command.new.id and not reply.touched)
            case c.Changed() | c.LockReply():
                return reply.outcome is not Outcome.DONE
            case int():
                return operation.name == "leased_until"
            case le.LeaseReply():
                return operation.name == "hold_lease" and reply.outcome is not Outcome.DONE
            case c.Ended():
                return not reply.records and command.operation_id not in self._book.repeated
        return False

    def keys(self, operation: Operation) -> Iterable[SlotKey]:
        """Give the keys that the operation touches."""
        command: Any = operation.args.get("command")
        known = operation.outcome == "ok"
        if operation.name not in _STEPS or (not known and operation.name in _CHANGES_NOTHING):
            return ()
        if getattr(command, "at_most", None) is not None:
            return {self._own_key(command), *self._keys_of_others(command, operation.result if known else None)}
        if hasattr(command, "new") or hasattr(command, "session_id"):
            return (self._own_key(command),)
        if isinstance(command, c.Load):
            return (self._key_of(self._index.tokens.get(command.token_hash, command.token_hash.hex())),)
        if isinstance(command, c.EndOwner):
            return self._index.owners.get(command.owner, frozenset())
        if known and isinstance(command, c.Sweep):
            # What a repeated sweep ended before belongs to its answer, too; one that found nothing is not remembered.
            again = (
                self._index.swept.get(command.operation_id, frozenset()) if operation.result.records else frozenset()
            )
            return {self._key_of(record.id) for record in operation.result.records} | again
        if known and isinstance(command, c.Page):
            return self._keys_of_page(command, operation.result)
        if known and isinstance(command, c.Purge) and not operation.result.count:
            return ()
        return set(self._index.keys.values())

    def project(self, operation: Operation, key: Any) -> Operation | None:
        """Give what the operation does to one of its keys, with the instants at which it may have done so."""
        lo, hi = self._instants(operation)
        result = operation.result if operation.outcome == "ok" else None
        command = operation.args["command"]
        if getattr(command, "at_most", None) is not None:
            if key != self._own_key(command):
                operation = evolve(operation, name=MAKES_ROOM)
                result = None if result is None else c.Ended(result.ended)
            elif isinstance(result, c.Opened) and result.ended:
                result = evolve(result, ended=tuple(r for r in result.ended if self._key_of(r.id) == key))
        if isinstance(result, c.Ended | c.PageOfRecords):
            result = evolve(result, records=tuple(r for r in result.records if self._key_of(r.id) == key))
        return evolve(operation, result=result, clock_at_call=lo, clock_at_ret=hi)

    def described(self, state: SlotState) -> str:
        """Give the sessions that are open and the last ones that were ended."""
        lives = [*state.open, *state.past[-3:]]
        return "; ".join(map(described, lives)) or "no session"

    def _own_key(self, command: Any) -> SlotKey:
        return _key_of_opening(command) if hasattr(command, "new") else self._key_of(command.session_id)

    def _keys_of_others(self, command: Any, reply: Any) -> Iterable[SlotKey]:
        """Give the keys of those who went for one more; if nobody knows who, of all who may have gone."""
        if reply is not None:
            return {self._key_of(record.id) for record in reply.ended}
        owner = command.new.owner if hasattr(command, "new") else command.owner
        return self._index.owners.get(owner, frozenset())

    def _keys_of_page(self, command: c.Page, reply: c.PageOfRecords) -> Iterable[SlotKey]:
        """Give the keys of what is listed and, if the page is all there is, of what might have been."""
        listed = {self._key_of(record.id) for record in reply.records}
        if command.cursor is not None or reply.cursor is not None:
            return listed
        if command.owner is not None:
            return listed | self._index.owners.get(command.owner, frozenset())
        return listed | set(self._index.keys.values())

    def _key_of(self, session_id: str) -> SlotKey:
        return self._index.keys.get(session_id, ("session", session_id))

    def _instants(self, operation: Operation) -> tuple[int, int]:
        command = operation.args["command"]
        if command.at is not None:
            return to_us(command.at), to_us(command.at)
        if isinstance(command, c.EndOwner) and operation.outcome == "ok":
            # One command has one instant for all keys, and each record that it ended tells it.
            told = {record.ended_us for record in operation.result.records} - {None}
            if len(told) == 1:
                instant = int(told.pop())
                return instant, instant
        lo = 0 if operation.clock_at_call is None else operation.clock_at_call - self._slack_us
        hi = FOREVER if operation.clock_at_ret is None else operation.clock_at_ret + self._slack_us
        return lo, hi


def _indexed(commands: Sequence[Any], operations: Sequence[Operation]) -> _Index:
    keys: dict[str, SlotKey] = {}
    tokens: dict[bytes, str] = {}
    owners: dict[str, set[SlotKey]] = {}
    for command in commands:
        if hasattr(command, "new"):
            new: NewSession = command.new
            keys[new.id] = _key_of_opening(command)
            tokens[new.token_hash] = new.id
            owners.setdefault(new.owner, set()).add(keys[new.id])
    for command in commands:
        if isinstance(command, c.Rotate):
            tokens.setdefault(command.token_hash, command.session_id)
            if command.owner is not None and command.session_id in keys:
                owners.setdefault(command.owner, set()).add(keys[command.session_id])
    swept: dict[str, set[SlotKey]] = {}
    for operation in operations:
        if operation.name == "sweep" and operation.outcome == "ok":
            found = {keys[record.id] for record in operation.result.records if record.id in keys}
            swept.setdefault(operation.args["command"].operation_id, set()).update(found)
    return _Index(keys, tokens, _frozen(owners), _frozen(swept))


def _frozen(sets: Mapping[str, set[SlotKey]]) -> Mapping[str, frozenset[SlotKey]]:
    return {name: frozenset(found) for name, found in sets.items()}


def _key_of_opening(command: Any) -> SlotKey:
    new: NewSession = command.new
    if isinstance(command, c.Create):
        return ("session", new.id)
    external = () if new.external_id is None else (new.external_id,)
    return ("slot", new.scope, new.owner, *external)


def _repeated(commands: Sequence[Any]) -> frozenset[str]:
    """Give the operation ids that were asked more than once. Reads carry none that counts."""
    seen: set[str] = set()
    again: set[str] = set()
    for command in commands:
        operation_id = getattr(command, "operation_id", None)
        if operation_id in seen:
            again.add(operation_id)
        elif operation_id and not isinstance(command, c.Load):
            seen.add(operation_id)
    return frozenset(again)
