"""The machine: a rule for each call of a guard, for time, for interruptions and for bursts of concurrent calls."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import ClassVar, Final

from attrs import evolve, frozen
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sessionguard.core.instants import duration_us, from_us
from sessionguard.core.policy import SessionPolicy
from sessionguard.core.tokens import is_anonymous
from sessionguard.testing import strategies
from sessionguard.testing.machines import drawing
from sessionguard.testing.machines.burst import Concurrency, race
from sessionguard.testing.machines.collecting import AsTestCase
from sessionguard.testing.machines.drawing import Sketch
from sessionguard.testing.machines.hand import GUARDS, AnyGuard
from sessionguard.testing.machines.place import Place
from sessionguard.testing.machines.play import Play
from sessionguard.testing.machines.shortening import Shortening, is_last_replay
from sessionguard.testing.machines.steps.changing import Counts, Saves
from sessionguard.testing.machines.steps.ending import Sweeps
from sessionguard.testing.machines.steps.step import Step

_TICK_US: Final = 1
_SEED: Final = st.integers(0, 2**32 - 1)
_LEAPS: Final[dict[str, Callable[[SessionPolicy], timedelta]]] = {
    "a second back": lambda _: timedelta(seconds=-1),
    "an hour back": lambda _: timedelta(hours=-1),
    "a touch": lambda policy: policy.lifetime().touch_us * timedelta(microseconds=1),
    "half the idle time": lambda policy: policy.idle_timeout / 2,
    "the idle time": lambda policy: policy.idle_timeout,
    "the absolute time": lambda policy: policy.absolute_timeout,
    "the grace": lambda policy: policy.rotation_grace,
    "the lease of a lock": lambda _: timedelta(seconds=15),
    "the retention": lambda policy: policy.history_retention,
}


@frozen
class ClockMoved:
    """The clock was set to an instant."""

    us: int

    def again(self, play: Play) -> None:
        """Do the same on another place."""
        moved = timedelta(microseconds=self.us - play.hand.now_us)
        play.place.clock.show_us(self.us)
        told = f"{'-' if moved < timedelta() else '+'}{abs(moved)}"
        play.played.append(f"the clock moves by {told} to {from_us(self.us).isoformat(timespec='microseconds')}")


def _has_sessions(machine: "SessionGuardMachine") -> bool:
    return bool(machine.play.hand.known)


class SessionGuardMachine(RuleBasedStateMachine):
    """Draws traces over all calls of a guard, and holds each answer against a plain model.

    Subclass it, say in `make_guard` how a guard is made in a place, and let pytest collect its `TestCase`. It is called
    twice for each place, and again after a guard was closed; all guards of a place must share their sessions.
    """

    owners: ClassVar[st.SearchStrategy[str]] = strategies.owners()
    """Who has sessions, besides twins."""
    twins: ClassVar[st.SearchStrategy[tuple[str, str]]] = strategies.twins()
    """Two owners whom a careless store takes for one."""
    scopes: ClassVar[Sequence[str]] = ("default", "other")
    """Scopes that the policy has."""
    schedules: ClassVar[int] = 50
    """In how many orders each burst of concurrent calls is played."""
    between_points: ClassVar[bool] = False
    """Whether in a burst others come between at the points that the store declares, too, and not only between its
    commands. For a store in the memory of the process, made by `place.once`: its locks are seen, and its resources are
    called the same in every place."""
    bursts: ClassVar[int] = 1
    """How many bursts a trace may have; each is played with all of its past in every order."""
    shrink_seconds: ClassVar[float] = 20.0
    """How long, after the first failure, a shorter trace is looked for."""
    shortening: ClassVar[Shortening | None] = None
    """The time that is left for that, while the machine runs."""
    TestCase = AsTestCase()  # type: ignore[assignment]  # the same, but for how it is run

    def __init__(self) -> None:
        super().__init__()
        self._go_on()
        self.play = Play(self.make_guard)
        self._bursts = 0
        self._is_swept = False

    def make_guard(self, place: Place) -> AnyGuard:
        """Give a new guard, blocking or async, on this place: with its clock, and without a background sweep.

        return SessionGuard(MyStore(place.folder / "my.db"), place.workspaces, clock=place.clock, sweep_interval=None)
        """
        raise NotImplementedError

    def do(self, step: Step) -> None:
        """Make one step."""
        self.play.do(step)
        self._is_swept = isinstance(step, Sweeps) and step.limit >= 1000

    def fill_in(self, sketch: Sketch) -> Step:
        """Give the step, with what callers have by now."""
        return sketch.filled_in(self.play.hand, self.names, self.scopes)

    @initialize(
        twins=st.runner().flatmap(lambda self: self.twins),
        others=st.runner().flatmap(lambda self: st.lists(self.owners, max_size=2)),
        opened=st.lists(drawing.OPENS, max_size=6),
    )
    def begin(self, twins: tuple[str, str], others: list[str], opened: list[Sketch]) -> None:
        """Choose who has sessions, and open some."""
        self.names = list(dict.fromkeys((*twins, *others)))
        for step in opened:
            self.do(self.fill_in(step))

    # Opening, reading

    @rule(step=drawing.OPENS)
    def opens(self, step: Sketch) -> None:
        """`create`, `get_or_create`, `replace`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.OPENS, like=st.none() | st.integers(0, 5))
    def opens_again(self, step: Sketch, like: int | None) -> None:
        """The same, or for an owner, scope and external id that have a session: by chance that would be rare."""
        known = self.play.hand.known
        found = None if like is None else known[-1 - like % len(known)].last
        opens = self.fill_in(step)
        if found is not None and not is_anonymous(found.owner):
            opens = evolve(opens, scope=found.scope, owner=found.owner, external_id=found.external_id)  # type: ignore[call-arg]
        self.do(opens)

    @precondition(_has_sessions)
    @rule(step=drawing.LOADS)
    def loads(self, step: Sketch) -> None:
        """`load` by a token that was given out."""
        self.do(self.fill_in(step))

    @rule(step=drawing.FORGERIES)
    def forges(self, step: Sketch) -> None:
        """`load` and `get` by what was never given out."""
        self.do(self.fill_in(step))

    @rule(step=drawing.REFUSALS)
    def is_refused(self, step: Sketch) -> None:
        """Arguments that must be refused."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.GETS)
    def gets(self, step: Sketch) -> None:
        """`get`."""
        self.do(self.fill_in(step))

    @precondition(lambda self: self.play.hand.can("page"))
    @rule(step=drawing.LISTS)
    def lists(self, step: Sketch) -> None:
        """`sessions`."""
        self.do(self.fill_in(step))

    # Changing, ending

    @precondition(_has_sessions)
    @rule(step=drawing.SAVES)
    def saves(self, step: Sketch) -> None:
        """`save`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.SAVES_OLD)
    def saves_over_another(self, step: Sketch) -> None:
        """`save` by a version that has just become old."""
        saves = self.fill_in(step)
        assert isinstance(saves, Saves)
        self.do(Counts(session=saves.session, via=GUARDS - 1 - saves.via))
        self.do(saves)

    @precondition(_has_sessions)
    @rule(step=drawing.COUNTS)
    def counts(self, step: Sketch) -> None:
        """`modify`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.TOUCHES)
    def touches(self, step: Sketch) -> None:
        """`touch`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.ROTATES)
    def rotates(self, step: Sketch) -> None:
        """`rotate`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.ENDS)
    def ends(self, step: Sketch) -> None:
        """`end`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.ENDS_OWNER)
    def ends_an_owner(self, step: Sketch) -> None:
        """`end_owner`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.SWEEPS)
    def sweeps(self, step: Sketch) -> None:
        """`sweep`."""
        self.do(self.fill_in(step))

    @precondition(_has_sessions)
    @rule(step=drawing.PURGES)
    def purges(self, step: Sketch) -> None:
        """`purge`."""
        self.do(self.fill_in(step))

    # Files and locks

    @precondition(lambda self: self.play.hand.has_files)
    @rule(step=drawing.WRITES)
    def writes(self, step: Sketch) -> None:
        """Write a file of a workspace."""
        self.do(self.fill_in(step))

    @precondition(lambda self: self.play.hand.has_files)
    @rule(step=drawing.USES_FILES)
    def uses_files(self, step: Sketch) -> None:
        """Read, list and delete files."""
        self.do(self.fill_in(step))

    @precondition(lambda self: self.play.hand.has_files and len(self.play.hand.leases) < 2)
    @rule(step=drawing.BORROWS)
    def borrows(self, step: Sketch) -> None:
        """Borrow a workspace over other steps."""
        self.do(self.fill_in(step))

    @precondition(lambda self: self.play.hand.leases)
    @rule(step=drawing.USES_LOANS)
    def uses_loans(self, step: Sketch) -> None:
        """Use a borrowed workspace, or give it back."""
        self.do(self.fill_in(step))

    @precondition(lambda self: self.play.hand.can("acquire_lock"))
    @rule(step=drawing.LOCKS)
    def locks(self, step: Sketch) -> None:
        """Take a lock."""
        self.do(self.fill_in(step))

    @precondition(lambda self: self.play.hand.locks)
    @rule(step=drawing.UNLOCKS)
    def unlocks(self, step: Sketch) -> None:
        """Give a lock back."""
        self.do(self.fill_in(step))

    # Time and mishaps

    @rule(leap=st.sampled_from(sorted(_LEAPS)))
    def time_passes(self, leap: str) -> None:
        """The clock moves by a time that the policy names, or goes back."""
        policy = self.play.hand.rules(self.scopes[0]).policy
        self._show_us(self.play.hand.now_us + duration_us(_LEAPS[leap](policy)))

    @precondition(_has_sessions)
    @rule(back_us=st.sampled_from((1, 60_000_000, 3_600_000_000)), step=drawing.TOUCHES_NEW)
    def clock_is_behind(self, back_us: int, step: Sketch) -> None:
        """A session is touched by a clock that is behind."""
        self._show_us(self.play.hand.now_us - back_us)
        self.do(self.fill_in(step))

    @precondition(lambda self: any(world.entries for world in self.play.worlds))
    @rule(pick=st.integers(0, 9), off=st.sampled_from((0, -_TICK_US, _TICK_US)), step=drawing.AT_AN_EDGE)
    def time_comes(self, pick: int, off: int, step: Sketch) -> None:
        """The clock comes to the instant at which something is over, or a tick beside it, and a call is made."""
        instants: set[int] = set()
        for world in self.play.worlds:
            for entry in world.entries:
                instants |= {entry.record.expires_us, entry.record.previous_until_us or entry.record.expires_us}
            instants |= {lock.until_us for lock in world.locks}
        # The next ones first: a trace rarely comes back from the far future.
        later = sorted(instants, key=lambda us: (us < self.play.hand.now_us, us))
        self._show_us(later[pick % len(later)] + off)
        self.do(self.fill_in(step))

    def _show_us(self, instant_us: int) -> None:
        moved = ClockMoved(instant_us)
        moved.again(self.play)
        self.play.trace.append(moved)
        self._is_swept = False

    @rule(step=drawing.REOPENS)
    def reopens(self, step: Sketch) -> None:
        """A guard is closed, and another one opened on the same place."""
        self.do(self.fill_in(step))

    @rule(step=drawing.INTERRUPTIBLE, place=st.integers(0, 8))
    def is_interrupted(self, step: Sketch, place: int) -> None:
        """A call is interrupted in its middle."""
        self.play.interrupt(self.fill_in(step), place)
        self._is_swept = False

    @precondition(lambda self: self.play.hand.has_files)
    @rule(step=drawing.INTERRUPTIBLE_FILES, place=st.integers(0, 8))
    def is_interrupted_with_files(self, step: Sketch, place: int) -> None:
        """The same, with a workspace."""
        self.is_interrupted(step, place)

    @precondition(lambda self: self._bursts < self.bursts and self.play.hand.known)
    @rule(lists=drawing.BURSTS, seed=_SEED)
    def burst(self, lists: list[list[Sketch]], seed: int) -> None:
        """A few callers at the same time, in many orders."""
        self._bursts += 1
        steps = [[self.fill_in(sketch) for sketch in one] for one in lists]
        concurrency = Concurrency(
            self.make_guard,
            self.schedules,
            seconds=20.0 if self.shortening is None else self.shortening.seconds_of(20.0),
            is_open=self.between_points,
            # Elsewhere each of the many traces that Hypothesis tries would be shrunk by itself.
            shrink_seconds=10.0 if is_last_replay() else 0.0,
        )
        concurrency.search(self.play.trace, steps, seed)
        race(self.play, steps, seed, concurrency.patience)
        self._is_swept = False

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        """Whatever was done: lists show what there is, and what has ended is out of use."""
        self._go_on()
        if hasattr(self, "names"):
            self.play.look()
            self.play.look_at_files(swept=self._is_swept)

    def teardown(self) -> None:
        """Close the guards and remove the place."""
        if self.shortening is not None:
            self.shortening.note_error()
        self.play.close()

    def _go_on(self) -> None:
        if self.shortening is not None:
            self.shortening.go_on()
