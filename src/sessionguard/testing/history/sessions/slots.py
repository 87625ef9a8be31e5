"""The state of one key: the sessions that were opened in one slot, or the one session that no slot knows."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from attrs import frozen

from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.testing.history.sessions.lives import Life, agreed, agreed_as_read, expires


class LockState(NamedTuple):
    """A lock: its last fence, who holds it until when, and who gave it back with which fence."""

    session_id: str
    name: str
    fence: int
    holder: str | None
    until: tuple[int, int]
    released: tuple[tuple[str, int], ...] = ()


class LeaseState(NamedTuple):
    """How one holder holds a session: with which fence, until when; None once it has let go or lost it."""

    session_id: str
    holder: str
    fence: int
    until: tuple[int, int] | None
    is_released: bool = False


class Done(NamedTuple):
    """A command that was asked more than once, when it was done."""

    operation_id: str
    ended: frozenset[str]
    """Which sessions of this key it ended."""
    at_us: int
    may_be_forgotten: bool = False


class SlotState(NamedTuple):
    """Sessions that have not been ended, sessions that have, and the repeated commands that were done."""

    open: tuple[Life, ...] = ()
    past: tuple[Life, ...] = ()
    done: tuple[Done, ...] = ()
    locks: tuple[LockState, ...] = ()
    leases: tuple[LeaseState, ...] = ()


EMPTY: Final = SlotState()


def find(state: SlotState, session_id: str) -> Life | None:
    """Give the session with this id, ended or not."""
    for life in state.open:
        if life.id == session_id:
            return life
    for life in reversed(state.past):
        if life.id == session_id:
            return life
    return None


def floor_of(state: SlotState, session_id: str) -> int:
    """Give the lowest fence with which a session is held; the last that was given out if it is not."""
    mine = [lease for lease in state.leases if lease.session_id == session_id]
    held = [lease.fence for lease in mine if lease.until is not None]
    return min(held) if held else max((lease.fence for lease in mine), default=0)


def holder_of(state: SlotState) -> Life | None:
    """Give the session that holds the slot; it may have expired."""
    for life in state.open:
        if life.exclusive:
            return life
    return None


def with_life(state: SlotState, life: Life) -> SlotState:
    """Give the state in which the session is `life`, whatever it was before."""
    opened = tuple(other for other in state.open if other.id != life.id)
    if life.reason is None:
        unchanged = len(opened) < len(state.open)
        if unchanged and len(state.open) == 1:
            return state if state.open[0] == life else state._replace(open=(life,))
        return state._replace(open=tuple(sorted((*opened, life))))
    if len(opened) < len(state.open):
        return state._replace(open=opened, past=(*state.past, life))
    return state._replace(past=tuple(life if other.id == life.id else other for other in state.past))


def without(state: SlotState, session_id: str) -> SlotState:
    """Give the state that has forgotten an ended session, and with it who held it."""
    return state._replace(
        past=tuple(life for life in state.past if life.id != session_id),
        leases=tuple(lease for lease in state.leases if lease.session_id != session_id),
    )


@frozen
class Book:
    """What the whole history tells: who opened which session, and which commands were asked more than once."""

    born: Mapping[str, NewSession]
    repeated: frozenset[str]

    def expires(self, life: Life) -> tuple[int, int]:
        """Give when the time of the session is over."""
        return expires(life, self.born[life.id])

    def may_be_active(self, life: Life, lo: int) -> bool:
        """Tell whether it may be active at `lo` or later."""
        return life.reason is None and lo < self.expires(life)[1]

    def may_be_over(self, life: Life, hi: int) -> bool:
        """Tell whether it may be ended or expired at `hi` or earlier."""
        return life.reason is not None or hi >= self.expires(life)[0]

    def told(self, life: Life, record: SessionRecord) -> Life | None:
        """Give `life` as `record` tells it, or None if the two contradict each other."""
        return agreed(life, self.born[life.id], record)

    def read(self, life: Life, record: SessionRecord, lo: int, hi: int) -> Life | None:
        """The same for a reader at some instant from `lo` to `hi`."""
        return agreed_as_read(life, self.born[life.id], record, lo, hi)

    def marked(self, state: SlotState, operation_id: str, ended: frozenset[str], at_us: int) -> SlotState:
        """Give the state that knows the command again, if it was asked more than once."""
        if operation_id not in self.repeated:
            return state
        others = (done for done in state.done if done.operation_id != operation_id)
        return state._replace(done=tuple(sorted((*others, Done(operation_id, ended, at_us)), key=_by_operation)))


def done_before(state: SlotState, operation_id: str) -> Done | None:
    """Give what is known of this very command, if it was done before."""
    return next((done for done in state.done if done.operation_id == operation_id), None)


def _by_operation(done: Done) -> str:
    return done.operation_id
