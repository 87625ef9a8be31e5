"""The strategies for steps: made once, so they speak of "the newest session" and of "the second owner".

What is drawn is a sketch; the machine fills in whom and what it means when its turn comes.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from attrs import frozen
from hypothesis import strategies as st

from sessionguard.testing import strategies as hostile
from sessionguard.testing.machines.hand import GUARDS, STRANGER, Hand
from sessionguard.testing.machines.steps import changing, ending, files, holding, opening, reading, refusing, timing
from sessionguard.testing.machines.steps.shown import shown
from sessionguard.testing.machines.steps.step import Step

_RECENT: Final = 6


@frozen(repr=False)
class Sketch:
    """A step in which sessions, owners, scopes and loans are still numbers: the newest session is 0."""

    kind: type[Step]
    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={shown(value)}" for name, value in self.fields.items())
        return f"{self.kind.__name__}({fields})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Else Hypothesis lays out what is inside by itself, and fails at data that are too deep to be taken.
        printer.text(repr(self))

    def filled_in(self, hand: Hand, owners: Sequence[str], scopes: Sequence[str]) -> Step:
        """Give the step, with what the callers have by now."""
        fields = dict(self.fields)
        for name in ("session", "keep"):
            if fields.get(name) is not None:
                fields[name] = _known(hand, fields[name])
        if isinstance(fields.get("owner"), _Number):
            fields["owner"] = owners[fields["owner"].of(len(owners))]
        if isinstance(fields.get("scope"), _Number):
            fields["scope"] = scopes[fields["scope"].of(len(scopes))]
        if "loan" in fields:
            loans = sorted(hand.locks if self.kind is holding.Unlocks else hand.leases)
            fields["loan"] = loans[fields["loan"] % len(loans)]
        if fields.get("under") is not None:
            fields["under"] = sorted(hand.locks)[fields["under"] % len(hand.locks)] if hand.locks else None
        return self.kind(**fields)


@frozen(repr=False)
class _Number:
    """One of the owners or scopes of a machine."""

    number: int

    def __repr__(self) -> str:
        return f"#{self.number}"

    def of(self, count: int) -> int:
        """Give it as an index among so many."""
        return self.number % count


def _known(hand: Hand, age: int) -> int:
    # The last of the ages is that of the session that nobody knows.
    return STRANGER if age >= min(_RECENT, len(hand.known)) else len(hand.known) - 1 - age


def _sketches(kind: type[Step], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Sketch]:
    drawn = st.fixed_dictionaries({**fields, "via": st.integers(0, GUARDS - 1)})
    return drawn.map(lambda chosen: Sketch(kind, chosen))


_SESSION: Final = st.integers(0, _RECENT)
_OWNER: Final = st.sampled_from((0, 0, 1, 1, 2, 3)).map(_Number)
_SCOPE: Final = st.sampled_from((0, 0, 1)).map(_Number)
_FIRST: Final = {"session": _SESSION, "first": st.booleans()}
_VERB: Final = st.sampled_from(("create", "get_or_create", "replace"))
_EXTERNAL_ID: Final = st.sampled_from((None, None, "a", "A")) | hostile.external_ids()
_OPENED: Final = {"scope": _SCOPE, "external_id": _EXTERNAL_ID, "data": hostile.data()}
_FILE: Final = st.sampled_from(("a", "b", "A", "a/b", "x.csv")) | hostile.file_names()

OPENS: Final = _sketches(opening.Opens, verb=_VERB, owner=_OWNER, **_OPENED) | _sketches(
    opening.Opens, verb=st.just("create"), owner=st.none(), **_OPENED
)
LOADS: Final = _sketches(reading.Loads, **_FIRST, scope=st.none() | _SCOPE)
FORGERIES: Final = _sketches(reading.LoadsForged, token=hostile.tokens() | hostile.invalid_tokens()) | _sketches(
    reading.GetsForged, session_id=hostile.session_ids() | hostile.invalid_session_ids()
)
GETS: Final = _sketches(reading.Gets, session=_SESSION)
LISTS: Final = _sketches(
    reading.Lists,
    scope=st.none() | _SCOPE,
    owner=st.none() | _OWNER,
    status=st.sampled_from(("active", "ended", None)),
)


def _apart(sketch: Sketch) -> Sketch:
    """Give it without a field that is both changed and removed."""
    removed = tuple(name for name in sketch.fields["remove"] if name not in sketch.fields["changes"])
    return Sketch(sketch.kind, {**sketch.fields, "remove": removed})


SAVES: Final = _sketches(
    changing.Saves,
    **_FIRST,
    changes=hostile.data(),
    remove=st.lists(hostile.field_names(), max_size=2, unique=True),
    expects=st.booleans(),
    under=st.none() | st.integers(0, 3),
).map(_apart)
SAVES_OLD: Final = _sketches(
    changing.Saves,
    session=st.integers(0, 2),
    first=st.just(True),
    changes=hostile.data(),
    expects=st.just(True),
)
"""By the version that a session had when it was opened."""
COUNTS: Final = _sketches(changing.Counts, **_FIRST)
TOUCHES: Final = _sketches(changing.Touches, session=_SESSION)
TOUCHES_NEW: Final = _sketches(changing.Touches, session=st.integers(0, 1))
ROTATES: Final = _sketches(changing.Rotates, **_FIRST, owner=st.none() | _OWNER)
ENDS: Final = _sketches(ending.Ends, session=_SESSION, reason=st.sampled_from(("revoked", "escalated")))
ENDS_OWNER: Final = _sketches(ending.EndsOwner, owner=_OWNER, scope=st.none() | _SCOPE, keep=st.none() | _SESSION)
SWEEPS: Final = _sketches(ending.Sweeps, limit=st.sampled_from((1000, 1, 2)))
PURGES: Final = _sketches(ending.Purges, older_than=st.sampled_from((None, timedelta(0), timedelta(minutes=10))))
REFUSALS: Final = st.one_of(
    *(
        _sketches(refusing.RefusesOpening, verb=_VERB, arguments=st.fixed_dictionaries({name: invalid}))
        for name, invalid in (
            ("owner", hostile.invalid_owners().filter(lambda owner: owner is not None)),
            ("scope", hostile.invalid_owners()),
            ("external_id", hostile.invalid_external_ids()),
            ("data", hostile.invalid_data()),
        )
    ),
    _sketches(refusing.RefusesSaving, session=_SESSION, changes=hostile.invalid_data()),
    _sketches(
        refusing.RefusesOwner,
        session=_SESSION,
        owner=hostile.invalid_owners(),
        verb=st.sampled_from(("rotate", "end_owner")),
    ),
)
WRITES: Final = _sketches(
    files.Writes,
    session=_SESSION,
    file=_FILE,
    content=hostile.contents(),
    breaks=st.sampled_from((False, False, True)),
)
USES_FILES: Final = st.one_of(
    _sketches(files.Reads, session=_SESSION, file=_FILE),
    _sketches(files.ListsFiles, session=_SESSION),
    _sketches(files.Deletes, session=_SESSION, file=_FILE),
    _sketches(
        files.RefusesFile,
        session=_SESSION,
        file=hostile.invalid_file_names(),
        verb=st.sampled_from(("read", "write", "delete")),
    ),
)
BORROWS: Final = _sketches(holding.Borrows, session=_SESSION)
USES_LOANS: Final = _sketches(holding.GivesBack, loan=st.integers(0, 1)) | _sketches(
    holding.ReadsBorrowed, loan=st.integers(0, 1), file=_FILE
)
LOCKS: Final = _sketches(holding.Locks, session=_SESSION, lock=st.sampled_from(("door", "Door")))
UNLOCKS: Final = _sketches(holding.Unlocks, loan=st.integers(0, 3))
REOPENS: Final = _sketches(holding.Reopens)

_CHANGING: Final = (OPENS, LOADS, SAVES, COUNTS, TOUCHES, ROTATES, ENDS, ENDS_OWNER, SWEEPS)
INTERRUPTIBLE: Final = st.one_of(*_CHANGING, PURGES)
INTERRUPTIBLE_FILES: Final = st.one_of(WRITES, BORROWS)
AT_AN_EDGE: Final = st.one_of(
    SWEEPS,
    LOADS,
    TOUCHES,
    ENDS,
    OPENS,
    _sketches(reading.Loads, session=st.integers(0, 2), first=st.just(True)),
    _sketches(ending.Sweeps),
)
"""Calls whose answer a tick decides."""

# Callers who have nothing in common cannot disturb each other.
_NEAR: Final = {"session": st.integers(0, 1), "first": st.booleans()}
_NEAR_OWNER: Final = st.integers(0, 1).map(_Number)
_NEAR_SCOPE: Final = st.just(_Number(0))

CONCURRENT: Final = st.one_of(
    _sketches(opening.Opens, verb=_VERB, owner=_NEAR_OWNER, scope=_NEAR_SCOPE, data=hostile.data()),
    _sketches(reading.Loads, **_NEAR),
    _sketches(reading.Gets, session=st.integers(0, 1)),
    _sketches(changing.Saves, **_NEAR, changes=hostile.data(), expects=st.booleans()),
    _sketches(changing.Counts, **_NEAR),
    _sketches(changing.Touches, session=st.integers(0, 1)),
    _sketches(changing.Rotates, **_NEAR),
    _sketches(ending.Ends, session=st.integers(0, 1), reason=st.sampled_from(("revoked", "escalated"))),
    _sketches(ending.EndsOwner, owner=_NEAR_OWNER),
    _sketches(ending.Sweeps),
    _sketches(timing.MovesClock, by_us=st.sampled_from((-1, 1, -60_000_000, 60_000_000))),
)
"""What is done in one step, so that other callers come before or after it."""
BURSTS: Final = st.lists(st.lists(CONCURRENT, min_size=1, max_size=3), min_size=2, max_size=3)
"""What a few callers do at the same time, each in order."""
