"""One trace while it is played: each step goes to a guard, and its answer to every world that may be."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from sessionguard.core.session import Session
from sessionguard.testing.machines.breaking import Interruption
from sessionguard.testing.machines.hand import Hand, MakeGuard, Told
from sessionguard.testing.machines.place import Place
from sessionguard.testing.machines.steps.reading import Lists, Loads
from sessionguard.testing.machines.steps.step import Step
from sessionguard.testing.machines.world import Refuted, World, require

_FILES: Final = "files"
_SHOWN_STEPS: Final = 40
_LOOKED_AT: Final = 4


@frozen
class Played:
    """One step with its answer."""

    step: Step
    told: Told

    def __str__(self) -> str:
        return f"{self.step} -> {self.told}"


class TraceError(AssertionError):
    """A guard has told something that no world explains; the message is the trace."""


class Play:
    """The guards of one place, and the set of worlds that explain all that they have told so far."""

    def __init__(self, make_guard: MakeGuard) -> None:
        self.place = Place()
        self.hand = Hand(make_guard, self.place)
        self.worlds: frozenset[World] = frozenset((World(),))
        self.played: list[Played | str] = []
        """What traces show: each step with its answer, and each move of the clock."""
        self.trace: list[Any] = []
        """What was done, to be done again elsewhere."""

    def do(self, step: Step) -> Told:
        """Make a step. Raises `TraceError` if no world explains the answer."""
        self.trace.append(Done(step))
        return self.judge(step, step.play(self.hand))

    def interrupt(self, step: Step, place: int, *, points_too: bool = False) -> Told:
        """Make a step that is interrupted at a place counted from its beginning, if it comes so far."""
        self.trace.append(Interrupted(step, place, points_too))
        trap = self.hand.trap
        try:
            with trap.set_at(place, points_too=points_too):
                told = step.play(self.hand)
        except Interruption:
            told = Told(self.hand.now_us, step.about(self.hand), is_lost=True)
            effect = step.lost(told, trap.done)
            if effect is None:
                self.played.append(Played(step, told))
                return told
            return self.judge(step, effect)
        return self.judge(step, told)

    def judge(self, step: Step, told: Told) -> Told:
        """Go on with the worlds that explain the answer, and keep what was given."""
        self.played.append(Played(step, told))
        self.worlds = self.after(step, told)
        if not told.is_lost:
            self.hand.learn(told.value)
        return told

    def after(self, step: Step, told: Told) -> frozenset[World]:
        """Give the worlds after the step. Raises `TraceError` if there are none."""
        after, reasons = [], []
        for world in self.worlds:
            try:
                after.append(step.judge(world, told))
            except Refuted as reason:
                reasons.append(str(reason))
        if not after:
            raise TraceError(self.report(step, told, reasons))
        return frozenset(after)

    def look(self) -> None:
        """See that all sessions are as they should be, and that none that has ended can be used."""
        if self.hand.can("page"):
            everything = Lists(status=None)
            self.worlds = self.after(everything, everything.play(self.hand))
            active = Lists(status="active", via=1)
            self.worlds = self.after(active, active.play(self.hand))
        for number in range(len(self.hand.known))[-_LOOKED_AT:]:
            if self.hand.known[number].tokens and self._has_ended(number):
                step = Loads(session=number)
                self.worlds = self.after(step, step.play(self.hand))

    def look_at_files(self, *, swept: bool = False) -> None:
        """See on the disk that active sessions have their files and, after a sweep, ended ones have none."""
        root = self.place.workspaces
        if not root.exists():
            return
        lent = {loan.session_id for loan in self.hand.leases.values()}
        found = (path for path in root.glob("*/[0-9a-f][0-9a-f]/*") if path.is_dir())
        folders = {path.name: path for path in found if path.name not in lent}
        self._keep(lambda world: _files_agree(world, folders, self.hand.now_us, swept=swept))

    def report(self, step: Any, told: object, reasons: Iterable[str]) -> str:
        """Give the trace as text, with what the last answer should have been."""
        shown = [f"  {played}" for played in self.played[-_SHOWN_STEPS:]]
        worlds = [world.describe() for world in self.worlds]
        asked = [f"no world explains the answer to {step}", f"  told: {told}", *(f"  but: {one}" for one in reasons)]
        return "\n".join([*asked, "before:", *worlds[:3], "the trace:", *shown])

    def close(self) -> None:
        """Close the guards, and remove the place."""
        try:
            self.hand.close()
        finally:
            self.place.close()

    def _has_ended(self, number: int) -> bool:
        session: Session = self.hand.known[number].last
        return all(world.usable(session.id, self.hand.now_us) is None for world in self.worlds)

    def _keep(self, judge: Any) -> None:
        reasons, kept = [], []
        for world in self.worlds:
            try:
                judge(world)
                kept.append(world)
            except Refuted as reason:
                reasons.append(str(reason))
        if not kept:
            raise TraceError(self.report("a look at the files", "what is on the disk", reasons))
        self.worlds = frozenset(kept)


@frozen
class Done:
    """A step that was made."""

    step: Step

    def again(self, play: Play) -> None:
        """Do the same on another place."""
        play.do(self.step)

    def __str__(self) -> str:
        return str(self.step)


@frozen
class Interrupted:
    """A step that was interrupted."""

    step: Step
    place: int
    points_too: bool

    def again(self, play: Play) -> None:
        """Do the same on another place."""
        play.interrupt(self.step, self.place, points_too=self.points_too)


def _files_agree(world: World, folders: dict[str, Path], now_us: int, *, swept: bool) -> None:
    for entry in world.entries:
        folder = folders.get(entry.record.id)
        if world.usable(entry.record.id, now_us) is not None and not entry.leases:
            there = {} if folder is None else _files_in(folder / _FILES)
            require(there == dict(entry.files), f"{entry.record.id} has the files {entry.files}, but there are {there}")
        elif swept and not entry.leases and entry.record.reason is not None:
            require(folder is None, f"{entry.record.id} has ended and was swept, but its files are there")
    if swept:
        unknown = folders.keys() - {entry.record.id for entry in world.entries}
        require(not unknown, f"files of sessions that nobody knows were left: {unknown}")


def _files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
