"""What every step of a trace is: a call that is made, and what the model makes of the answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from attrs import evolve, frozen

from sessionguard.core import commands as c
from sessionguard.core.instants import to_us
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.core.session import Session, record_of
from sessionguard.core.visitors import LOGIN_REASON, is_taken
from sessionguard.errors import SessionEndedError, SessionGuardError
from sessionguard.testing.machines.breaking import watching
from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.world import Entry, World, ordered, require, settled, text_of

Replies = Sequence[tuple[Any, Any]]
"""Commands that were answered, with their replies."""

_TOLD: Final = (SessionGuardError, FileNotFoundError, FileExistsError)


@frozen(kw_only=True)
class Step:
    """One call of one caller, as a value. Sessions are named by the order in which callers came to know them."""

    via: int = 0
    """Through which of the guards."""

    reads_only: ClassVar[bool] = False
    """Whether it leaves every world as it is."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return type(self).__name__

    def play(self, hand: Hand) -> Told:
        """Make the call, and give what it was told; errors that the library promises are answers, too."""
        about, now_us = self.about(hand), hand.now_us
        asked: list[tuple[Any, Any]] = []
        value, failure = None, None
        with watching(asked):
            try:
                value = self.ask(hand, about)
            except _TOLD as error:
                failure = error
        # Who gets back the very object that he passed has seen and changed what is inside before.
        is_fresh = isinstance(value, Session) and not hand.has(value)
        shown = _seen_and_spoilt(value) if is_fresh and isinstance(value, Session) else None
        return Told(_instant(asked, now_us), about, self.answer(value, asked), failure, data=shown)

    def answer(self, value: Any, asked: Replies) -> Any:
        """Give what is kept of the answer."""
        return value

    def about(self, hand: Hand) -> Any:
        """Give what is passed: what the caller has in his hands now."""
        return None

    def ask(self, hand: Hand, about: Any) -> Any:
        """Make the call."""
        raise NotImplementedError

    def judge(self, world: World, told: Told) -> World:
        """Give the world afterwards. Raises `Refuted` if this answer cannot come from `world`."""
        raise NotImplementedError

    def lost(self, told: Told, replies: Replies) -> Told | None:
        """Give what would have been told, if these commands were answered before the interruption; None: nothing.

        By default the last change decides.
        """
        for _, reply in reversed(replies):
            if isinstance(reply, c.Changed):
                return evolve(told, value=Session(reply.record)) if reply.outcome is Outcome.DONE else None  # type: ignore[arg-type]
        return None


def _instant(asked: Replies, now_us: int) -> int:
    """Give the instant by which the store has judged: of the save that was done, or of the first command."""
    at: list[datetime] = [command.at for command, _ in asked if getattr(command, "at", None) is not None]
    saved = [command.at for command, _ in asked if isinstance(command, c.Save) and command.at is not None]
    decisive = saved[-1:] or at[:1]
    return to_us(decisive[0]) if decisive else now_us


@frozen(kw_only=True)
class SessionStep(Step):
    """A step about a session that a caller has."""

    session: int
    first: bool = False
    """Whether he has it as it was when he came to know it."""

    def about(self, hand: Hand) -> Any:
        return hand.session(self.session, first=self.first)


def value_of(told: Told) -> SessionRecord:
    """Give the record of the session that was told. Raises `Refuted` if it was an error, or something else."""
    require(told.error is None, f"it must not fail: {told.error}")
    require(isinstance(told.value, Session), f"a session must be told, not {told.value!r}")
    assert isinstance(told.value, Session)
    record = record_of(told.value)
    require(told.data in (None, ordered(record.data)), f"the session shows {told.data}, but has {record.data}")
    return record


def _seen_and_spoilt(session: Session) -> str:
    """Give the data that the session shows, and change what is inside, which must change nothing anywhere else."""
    shown = text_of(dict(session.data))
    for value in session.data.values():
        spoil(value)
    return shown


def spoil(value: Any) -> None:
    """Change a list or an object in place."""
    if isinstance(value, list):
        value.append("spoilt")
    elif isinstance(value, dict):
        value["spoilt"] = True


def usable_or_refused(world: World, told: Told, session_id: str, meant: SessionRecord | None = None) -> Entry | None:
    """Give the session if it may be used; else return None if the answer says that it has ended, and why.

    With `meant`, it is over as well for a caller who knows it as a visitor's, once it has received its owner.
    """
    entry = world.usable(session_id, told.at_us)
    if entry is not None and is_taken(entry.record, meant):
        refused(told, SessionEndedError, session_id=session_id, reason=LOGIN_REASON)
        return None
    if entry is None:
        known = world.find(session_id)
        reason = None if known is None else settled(known.record, told.at_us).reason
        require(isinstance(told.error, SessionEndedError), f"the session has ended ({reason}), but it was told {told}")
        assert isinstance(told.error, SessionEndedError)
        found = (told.error.session_id, told.error.reason)
        require(found == (session_id, reason), f"{(session_id, reason)} has ended, not {found}")
    return entry


def refused(told: Told, kind: type[Exception], **details: object) -> None:
    """Return if the answer is this error with these attributes, else raise `Refuted`."""
    require(isinstance(told.error, kind), f"{kind.__name__} was expected, not {told}")
    found = {name: getattr(told.error, name) for name in details}
    require(found == details, f"{kind.__name__} was expected to say {details}, not {found}")
