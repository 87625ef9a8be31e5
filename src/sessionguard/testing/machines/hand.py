"""What the callers in a trace have in their hands: two guards, sessions, tokens, leases and locks."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define, field, frozen

from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.core.policy import ScopeRules
from sessionguard.core.session import Session
from sessionguard.errors import MisuseError, SessionGuardError
from sessionguard.guard import SessionGuard
from sessionguard.stores.memory import MemoryStore
from sessionguard.testing.machines.awaited import Loops, blocking
from sessionguard.testing.machines.breaking import Trap, make_breakable
from sessionguard.testing.machines.place import Place

AnyGuard = SessionGuard | AsyncSessionGuard
MakeGuard = Callable[[Place], AnyGuard]

GUARDS: Final = 2
"""Guards on the same place, as two processes have them."""
STRANGER: Final = -1
"""Instead of a session's number: one that the store has never seen."""


@frozen(repr=False)
class Told:
    """What a call was told, and what it was about."""

    at_us: int
    """What the clock showed."""
    about: Any = None
    """The `Session`, the token or whatever else was passed."""
    value: Any = None
    error: Exception | None = None
    is_lost: bool = False
    """Whether the call was interrupted; then `value` is what would have been told."""
    data: str | None = None
    """The data that a session showed, as text."""

    def __repr__(self) -> str:
        if self.error is not None:
            return f"{type(self.error).__name__}: {self.error}"
        lost = "interrupted after " if self.is_lost else ""
        new = " (new)" if isinstance(self.value, Session) and self.value.is_new else ""
        return f"{lost}{self.value!r}{new}"


@define
class Known:
    """A session that some caller was given, once as it was at first and once as it was last."""

    first: Session
    last: Session
    tokens: list[str] = field(factory=list)
    """The oldest first."""


@frozen
class Loan:
    """Something that is held: a workspace or a lock, with the block to be left."""

    block: AbstractContextManager[Any]
    session_id: str
    via: int
    held: Any
    name: str = ""


class Hand:
    """The callers of one trace."""

    def __init__(self, make_guard: MakeGuard, place: Place) -> None:
        self.place = place
        self.trap = Trap()
        self.known: list[Known] = []
        self.leases: dict[int, Loan] = {}
        self.locks: dict[int, Loan] = {}
        self.lent = 0
        self._make_guard = make_guard
        self._luck = random.Random(0)
        self._loops = Loops()
        self._raw: list[Any] = [None] * GUARDS
        self._faces: list[Any] = [None] * GUARDS
        self.stranger = self._strange_session()

    @property
    def now_us(self) -> int:
        """What the clock shows."""
        return self.place.clock.peek_us()

    def guard(self, via: int) -> Any:
        """Give one of the guards, by blocking calls."""
        if self._faces[via] is None:
            self._open(via)
        return self._faces[via]

    def open_all(self) -> None:
        """Make both guards, so that no caller of a burst has to."""
        for via in range(GUARDS):
            self.guard(via)

    @property
    def parts(self) -> Any:
        """What the first guard is made of."""
        self.guard(0)
        return self._raw[0]._parts

    @property
    def has_files(self) -> bool:
        """Whether the guards have workspaces."""
        return bool(self.parts.setting.has_files)

    def can(self, verb: str) -> bool:
        """Tell whether the store has the optional ability with this verb."""
        self.guard(0)
        store = self._raw[0]._store
        return callable(getattr(getattr(store, "blocking", store), verb, None))

    def rules(self, scope: str) -> ScopeRules:
        """Give the policy of a scope."""
        rules: ScopeRules = self.parts.setting.policies.rules(scope)
        return rules

    def session(self, number: int, *, first: bool = False) -> Session:
        """Give what a caller has of the session with this number, as it was last or at first; or the stranger."""
        if not 0 <= number < len(self.known):
            return self.stranger
        known = self.known[number]
        return known.first if first else known.last

    def has(self, session: Session) -> bool:
        """Tell whether a caller has this very object."""
        return session is self.stranger or any(session is known.first or session is known.last for known in self.known)

    def token(self, number: int, *, first: bool = False) -> str:
        """Give a token of the session with this number, if any caller has one; else the stranger's."""
        tokens = self.known[number].tokens if 0 <= number < len(self.known) else []
        return tokens[0 if first else -1] if tokens else str(self.stranger.token)

    def learn(self, session: object) -> int | None:
        """Keep what a caller was given; give the number of the session if it was not known before."""
        if not isinstance(session, Session):
            return None
        number = next((n for n, known in enumerate(self.known) if known.last.id == session.id), None)
        if number is None:
            self.known.append(Known(session, session))
        else:
            self.known[number].last = session
        if session.token is not None:
            self.known[-1 if number is None else number].tokens.append(session.token)
        return len(self.known) - 1 if number is None else None

    def lend(self, loans: dict[int, Loan], loan: Loan) -> int:
        """Keep something that is held; give its number."""
        self.lent += 1
        loans[self.lent] = loan
        return self.lent

    def reopen(self, via: int) -> None:
        """Close the guard, with all that is held by it; the next call makes another one on the same place."""
        for loans in (self.leases, self.locks):
            for number in [number for number, loan in loans.items() if loan.via == via]:
                with suppress(SessionGuardError):
                    loans.pop(number).block.__exit__(None, None, None)
        if self._faces[via] is not None:
            self._faces[via].close()
            self._faces[via] = self._raw[via] = None

    def close(self) -> None:
        """Give back and close everything."""
        with ExitStack() as stack:
            stack.callback(self._loops.close)
            for via in range(GUARDS):
                stack.callback(self.reopen, via)

    def _open(self, via: int) -> None:
        guard = self._make_guard(self.place)
        setting = guard._parts.setting
        if setting.clock is not self.place.clock:
            raise MisuseError("the guard needs the clock of its place: SessionGuard(..., clock=place.clock)")
        if guard._parts.sweep_seconds is not None:
            raise MisuseError("a background sweep would come between the steps: SessionGuard(..., sweep_interval=None)")
        # The same ids in every trace, so that Hypothesis can play one again.
        object.__setattr__(setting.mint, "random_bytes", self._luck.randbytes)
        # Files are as old as the clock of the machine says, which is not that of the place: none is to be too young.
        object.__setattr__(setting, "orphan_age", timedelta(0))
        make_breakable(guard, self.trap)
        self._raw[via] = guard
        self._faces[via] = blocking(guard, self._loops)

    def _strange_session(self) -> Session:
        with SessionGuard(MemoryStore(allow_per_process=True), clock=_at(self.place), sweep_interval=None) as guard:
            return guard.create("stranger")


def _at(place: Place) -> Callable[[], datetime]:
    return place.clock
