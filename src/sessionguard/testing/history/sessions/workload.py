"""What a client may ask, drawn from a seed: everything at once about a few owners, as often as not at a bad moment."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.errors import MisuseError
from sessionguard.testing.contracts.stage import (
    GRACE,
    IDLE,
    KEEPS_DATA,
    LIFETIME,
    SECOND,
    START,
    TICK,
    TOUCH,
    Known,
    Stage,
)

OWNERS: Final = ("ana", "anabel", "Ana", "bob")
"""They are told apart only by a store that compares whole names as they are."""
EXTERNAL_IDS: Final = (None, None, None, "tab-1")
INSTANTS: Final = (START, START, SECOND, GRACE, TOUCH, IDLE - TICK, IDLE, IDLE + TOUCH)
_JUMPING: Final = 0.1
"""Before so large a share of the commands a clock that jumps does."""

FREQUENCIES: Final[Mapping[str, int]] = {
    "get_or_create": 14,
    "save": 12,
    "compare_and_save": 8,
    "load": 8,
    "get": 6,
    "touch": 4,
    "rotate": 4,
    "repeat": 4,
    "end": 3,
    "replace": 3,
    "create": 2,
    "acquire": 3,
    "renew": 1,
    "release": 2,
    "hold": 2,
    "let_go": 1,
    "leased": 1,
    "fenced_save": 2,
    "sweep": 2,
    "login": 1,
    "page": 1,
    "end_owner": 1,
    "purge": 1,
}
"""How often each is drawn, against the others."""


class Actor:
    """One client. What it and others were shown is given to `show`, and its next commands are about that.

    `frequencies` names what it does, among the keys of `FREQUENCIES`. Without `timed` the engine's clock decides; else
    its own, which is `ahead` by so much (or behind), and now and then is set forward or back by one of `jumps`.
    """

    def __init__(
        self,
        stage: Stage,
        seed: int,
        *,
        frequencies: Mapping[str, int] = FREQUENCIES,
        instants: tuple[timedelta, ...] = INSTANTS,
        owners: tuple[str, ...] = OWNERS,
        external_ids: tuple[str | None, ...] = EXTERNAL_IDS,
        timed: bool = True,
        ahead: timedelta = timedelta(),
        jumps: Sequence[timedelta] = (),
    ) -> None:
        if not timed and (ahead or jumps):
            raise MisuseError("where the engine's clock decides (timed=False) that of a client cannot be wrong")
        self._stage, self._random, self._timed = stage, random.Random(seed), timed
        self._frequencies, self._instants, self._owners = frequencies, instants, owners
        self._external_ids = external_ids
        self._ahead, self._jumps = ahead, jumps
        self._shown: list[SessionRecord] = []
        self._fences: dict[str, c.Fence] = {}
        self._asked: list[c.Command[Any]] = []

    def commands(self, count: int) -> Iterator[c.Command[Any]]:
        """Draw so many commands, each when it is asked for, so that it can be about what was shown before."""
        verbs, weights = list(self._frequencies), list(self._frequencies.values())
        for _ in range(count):
            command = getattr(self, f"_{self._random.choices(verbs, weights)[0]}")()
            if not self._timed:
                command = evolve(command, at=None)
            self._asked = [*self._asked[-4:], command]
            yield command

    def show(self, command: c.Command[Any], records: Iterator[SessionRecord], reply: Any = None) -> None:
        """Let it know what came of a command, its own or another client's."""
        self._shown = [*self._shown, *records][-6:]
        if isinstance(command, c.Rotate) and command.owner is not None:
            # Who opened a session that was given away since knew its answer, and asks no more.
            self._asked = [asked for asked in self._asked if not _opens(asked, command.session_id)]
        if isinstance(command, c.AcquireLock) and isinstance(reply, c.LockReply) and reply.fence:
            self._fences[command.session_id] = c.Fence(command.name, reply.fence)

    # What may be drawn

    def _known(self) -> Known:
        return self._random.choice(self._shown) if self._shown else self._stage.new(self._owner())

    def _at(self) -> timedelta:
        if self._jumps and self._random.random() < _JUMPING:
            self._ahead += self._random.choice(self._jumps)
        return self._random.choice(self._instants) + self._ahead

    def _owner(self) -> str:
        return self._random.choice(self._owners)

    def _data(self) -> dict[str, Any]:
        value = self._random.randrange(1_000)
        kinds = (value, float(value), "\u00e9" * (value % 20), {self._random.choice("xy"): value})
        return {self._random.choice("ab"): self._random.choice(kinds)}

    def _details(self) -> dict[str, Any]:
        lifetime = self._random.choice((LIFETIME, KEEPS_DATA))
        external_id = self._random.choice(self._external_ids)
        return {"at": self._at(), "data": self._data(), "lifetime": lifetime, "external_id": external_id}

    def _claim(self) -> tuple[Known, str, str]:
        return self._known(), f"holder-{self._random.randrange(3)}", self._random.choice(("door", "window"))

    # The commands

    def _get_or_create(self) -> c.Command[Any]:
        return self._stage.get_or_create(self._owner(), **self._details())

    def _replace(self) -> c.Command[Any]:
        return self._stage.replace(self._owner(), **self._details())

    def _create(self) -> c.Command[Any]:
        return self._stage.create(self._owner(), **self._details())

    def _repeat(self) -> c.Command[Any]:
        return self._random.choice(self._asked) if self._asked else self._get_or_create()

    def _get(self) -> c.Command[Any]:
        return self._stage.get(self._known(), at=self._at())

    def _load(self) -> c.Command[Any]:
        known = self._known()
        token = getattr(known, "previous_hash", None) if self._random.random() < 0.3 else None
        scope = self._random.choice((None, None, known.scope, "elsewhere"))
        return self._stage.load(token or known.token_hash, at=self._at(), scope=scope)

    def _save(self) -> c.Command[Any]:
        changes = self._data()
        remove = tuple(name for name in "ab" if name not in changes and self._random.random() < 0.3)
        return self._stage.save(self._known(), changes, remove=remove, at=self._at())

    def _compare_and_save(self) -> c.Command[Any]:
        known = self._known()
        return self._stage.save(
            known, self._data(), expected_version=getattr(known, "version", 1), limit_bytes=40, at=self._at()
        )

    def _fenced_save(self) -> c.Command[Any]:
        known = self._known()
        fence = self._fences.get(known.id, c.Fence("door", self._random.randrange(3)))
        number = max(1, fence.number - self._random.randrange(2))
        expected = self._random.choice((None, 1))
        save = self._stage.save(known, self._data(), expected_version=expected, at=self._at())
        return evolve(save, fence=evolve(fence, number=number))

    def _touch(self) -> c.Command[Any]:
        return self._stage.touch(self._known(), at=self._at())

    def _rotate(self) -> c.Command[Any]:
        return self._stage.rotate(self._known(), at=self._at(), grace=self._random.choice((START, GRACE)))

    def _login(self) -> c.Command[Any]:
        return self._stage.rotate(self._known(), at=self._at(), owner=self._owner())

    def _end(self) -> c.Command[Any]:
        return self._stage.end(self._known(), self._random.choice(("revoked", "logout")), at=self._at())

    def _end_owner(self) -> c.Command[Any]:
        known = self._known()
        keep = known if self._random.random() < 0.5 else None
        return self._stage.end_owner(known.owner, keep=keep, at=self._at())

    def _sweep(self) -> c.Command[Any]:
        return self._stage.sweep(self._random.choice((1, 1000)), at=self._at())

    def _purge(self) -> c.Command[Any]:
        return self._stage.purge(self._random.choice((None, START)), self._random.choice((1, 1000)), at=self._at())

    def _page(self) -> c.Command[Any]:
        owner = self._random.choice((None, self._owner()))
        status: c.Status | None = self._random.choice((None, "active", "ended"))
        return self._stage.page(owner=owner, status=status, limit=self._random.choice((2, 1000)), at=self._at())

    def _acquire(self) -> c.Command[Any]:
        return self._stage.acquire(*self._claim(), at=self._at())

    def _renew(self) -> c.Command[Any]:
        return self._stage.renew(*self._claim(), at=self._at())

    def _release(self) -> c.Command[Any]:
        return self._stage.release(*self._claim(), at=self._at())

    def _hold(self) -> c.Command[Any]:
        return self._stage.hold(self._known(), self._lessee(), at=self._at())

    def _let_go(self) -> c.Command[Any]:
        return self._stage.let_go(self._known(), self._lessee(), at=self._at())

    def _leased(self) -> c.Command[Any]:
        return self._stage.leased(self._known(), at=self._at())

    def _lessee(self) -> str:
        return f"{self._random.randrange(40):016x}"


def _opens(command: c.Command[Any], session_id: str) -> bool:
    return isinstance(command, c.Create | c.GetOrCreate | c.Replace) and command.new.id == session_id
