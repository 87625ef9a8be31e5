"""What cannot be right in whatever order it happened: found in one pass, before any search, and told in plain words."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from sessionguard.core import commands as c
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import EXPIRED_REASON, Outcome
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.errors import IdentityMismatchError
from sessionguard.testing.history.model import Objection
from sessionguard.testing.history.operations import Operation
from sessionguard.testing.history.sessions.lives import FOREVER, fields_of, value_of

Born = Mapping[str, NewSession]


def objections(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    """Give them, the plainest first."""
    for check in _CHECKS:
        yield from check(operations, born)


def records_in(reply: Any) -> Iterator[SessionRecord]:
    """Give every record that a reply shows."""
    if isinstance(reply, SessionRecord):
        yield reply
        return
    if isinstance(reply, c.Opened) and reply.is_refused:
        return
    record = getattr(reply, "record", None)
    if record is not None:
        yield record
    yield from getattr(reply, "records", ())
    yield from getattr(reply, "ended", ())


def _answered(operations: Sequence[Operation]) -> Iterator[Operation]:
    return (operation for operation in operations if operation.outcome == "ok")


def _answers_to_something_else(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    for operation in _answered(operations):
        try:
            operation.args["command"].verify(operation.result, "the store")
        except IdentityMismatchError as error:
            if error.field == "owner" and isinstance(operation.result, c.Opened):
                continue  # A session may receive an owner before its opening is repeated; see `_strangers`.
            yield Objection(f"a reply is not for what was asked: its {error.field} differs", (operation,))


def _more_than_asked(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    for operation in _answered(operations):
        limit = getattr(operation.args["command"], "limit", None)
        count = getattr(operation.result, "count", len(getattr(operation.result, "records", ())))
        if limit is not None and count > limit:
            yield Objection(f"{operation.name} was to take {limit} sessions and took {count}", (operation,))


def _ids_of_two(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    """An id is given once: to one owner, in one scope, by one command."""
    for operation in operations:
        new = getattr(operation.args["command"], "new", None)
        if new is not None and born[new.id] != new:
            yield Objection(f"the id {new.id} was given to two sessions", (operation,))


def _strangers(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    """What a record shows was opened by somebody, as it says."""
    received = {
        (command.session_id, command.owner)
        for command in (operation.args["command"] for operation in operations)
        if isinstance(command, c.Rotate)
    }
    for operation in _answered(operations):
        for record in records_in(operation.result):
            new = born.get(record.id)
            if new is None:
                yield Objection(f"the session {record.id} was opened by nobody", (operation,))
            elif (record.scope, record.external_id) != (new.scope, new.external_id):
                yield Objection(f"the session {record.id} changed its scope or external id", (operation,))
            elif record.owner != new.owner and (record.id, record.owner) not in received:
                yield Objection(f"the session {record.id} of {new.owner!r} is shown to {record.owner!r}", (operation,))


def _values_of_nobody(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    """Every field that is read was written to that very session."""
    written = {(new.id, *field) for new in born.values() for field in fields_of(new.data)}
    for operation in operations:
        command = operation.args["command"]
        if isinstance(command, c.Save):
            written.update((command.session_id, name, value_of(text)) for name, text in command.changes.items())
    for operation in _answered(operations):
        for record in records_in(operation.result):
            for name, text in fields_of(record.data):
                if (record.id, name, text) not in written:
                    yield Objection(f"nobody wrote {name!r}: {text} to session {record.id}", (operation,))


def _opened_anew(operations: Sequence[Operation]) -> set[str]:
    """Give the ids that may have had two lives: their opening was repeated after a purge, maybe, had forgotten them."""
    if not any(operation.name == "purge" for operation in operations):
        return set()
    ids = [operation.args["command"].new.id for operation in operations if hasattr(operation.args["command"], "new")]
    return {session_id for session_id, count in Counter(ids).items() if count > 1}


def _versions_that_fall(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    """Who asks after a version was shown is shown none before it."""
    anew = _opened_anew(operations)
    latest: dict[str, tuple[int, Operation]] = {}
    before: dict[int, dict[str, tuple[int, Operation]]] = {}
    for is_return, operation in _events(operations):
        shown = [(record.id, record.version) for record in records_in(operation.result) if record.id not in anew]
        if not is_return:
            before[id(operation)] = {session_id: latest[session_id] for session_id, _ in shown if session_id in latest}
            continue
        known = before.pop(id(operation))
        for session_id, version in shown:
            former, witness = known.get(session_id, (0, operation))
            if version < former:
                yield Objection(
                    f"session {session_id} went back from version {former} to {version}", (witness, operation)
                )
            if version > latest.get(session_id, (0, operation))[0]:
                latest[session_id] = (version, operation)


def _two_active(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    """A session was active for certain from the first return that showed it so to the last call that did."""
    anew = _opened_anew(operations)
    spans: dict[str, tuple[int, int, Operation]] = {}
    slots: dict[tuple[str, str, str | None], set[str]] = {}
    for operation in _answered(operations):
        for record in _given_as_active(operation):
            assert operation.ret is not None
            if record.id in anew:
                continue
            begin, end, witness = spans.get(record.id, (operation.ret, operation.call, operation))
            spans[record.id] = (min(begin, operation.ret), max(end, operation.call), witness)
            slots.setdefault((record.scope, record.owner, record.external_id), set()).add(record.id)
    for slot, ids in slots.items():
        lives = sorted((spans[session_id][:2], session_id) for session_id in ids)
        certain = [(begin, end, session_id) for (begin, end), session_id in lives if begin < end]
        for (_, end, former), (begin, _, latter) in pairwise(certain):
            if begin < end:
                yield Objection(
                    f"{former} and {latter} were active at once in the slot {slot}",
                    (spans[former][2], spans[latter][2]),
                )


def _given_as_active(operation: Operation) -> Iterator[SessionRecord]:
    reply = operation.result
    if isinstance(reply, c.Opened) and reply.is_refused:
        return
    record = reply.record if isinstance(reply, c.Opened | c.Loaded) else None
    # The repetition of an opening shows its session as it is, ended or not.
    if record is not None and record.exclusive and record.reason is None:
        yield record


def _more_than_allowed(operations: Sequence[Operation], born: Born) -> Iterator[Objection]:
    """Who was active for certain all the while that one more was opened, or logged in, was there beside it."""
    anew = _opened_anew(operations)
    spans: dict[tuple[str, str], tuple[int, int, int]] = {}
    for operation in _answered(operations):
        assert operation.ret is not None
        for record, was_active_after in _shown_active(operation):
            if record.id not in anew:
                begin, end, expires_us = spans.get((record.id, record.owner), (FOREVER, -1, 0))
                begin = min(begin, operation.ret) if was_active_after else begin
                last = max(end, operation.call), max(expires_us, record.expires_us)
                spans[record.id, record.owner] = begin, *last
    asked = Counter(getattr(operation.args["command"], "operation_id", None) for operation in operations)
    for operation in _answered(operations):
        added = _added(operation, born)
        # A repetition adds nobody.
        if added is None or asked[operation.args["command"].operation_id] > 1:
            continue
        beside = [
            session_id
            for (session_id, owner), (begin, end, expires_us) in spans.items()
            if begin < operation.call and end > (operation.ret or 0) and expires_us > _latest_us(operation)
            and (owner, born[session_id].scope) == (added.owner, added.scope) and session_id != added.id
        ]  # fmt: skip
        most = operation.args["command"].at_most.most
        if len(beside) >= most:
            yield Objection(f"{most} may be active, and {added.id} was added to {len(beside)} others", (operation,))


def _added(operation: Operation, born: Born) -> SessionRecord | None:
    """Give the session that the operation has added to those of its owner under a limit, if it tells so for certain."""
    command, reply = operation.args["command"], operation.result
    if getattr(command, "at_most", None) is None:
        return None
    if isinstance(reply, c.Opened):
        is_new = not reply.is_refused and reply.record.id == command.new.id and reply.record.reason is None
        return reply.record if is_new else None
    new = born.get(command.session_id)
    receives = command.owner is not None and new is not None and command.owner != new.owner
    return reply.record if reply.outcome is Outcome.DONE and receives else None


def _shown_active(operation: Operation) -> Iterator[tuple[SessionRecord, bool]]:
    """Give whom the answer shows to be active, and whom it ended: these were so until it was asked."""
    reply = operation.result
    for record in records_in(reply):
        if record.reason is None:
            yield record, True
        elif record.reason != EXPIRED_REASON and isinstance(reply, c.Ended):
            yield record, False


def _latest_us(operation: Operation) -> int:
    at = operation.args["command"].at
    return to_us(at) if at is not None else operation.clock_at_ret or FOREVER


def _events(operations: Sequence[Operation]) -> Iterator[tuple[bool, Operation]]:
    events = [(operation.call, 0, operation.index, operation) for operation in _answered(operations)]
    events += [(operation.ret or 0, 1, operation.index, operation) for operation in _answered(operations)]
    for _, is_return, _, operation in sorted(events, key=lambda event: event[:3]):
        yield bool(is_return), operation


_CHECKS: Final[Sequence[Callable[[Sequence[Operation], Born], Iterator[Objection]]]] = (
    _answers_to_something_else,
    _more_than_asked,
    _ids_of_two,
    _strangers,
    _values_of_nobody,
    _versions_that_fall,
    _two_active,
    _more_than_allowed,
)
