"""Sessions that are addressed by their slot: a version that begins anew is taken for one of the session before."""

from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.mutants.table.rows import Effort, Finding, Make
from sessionguard.testing.mutants.table.sequential import drawn
from sessionguard.testing.schedule import Scenario

Shown = tuple[str, int]
"""A session with its version."""


class VersionRestarts:
    """Counts the versions of each session from 1, so a save for the session before may hit the one after."""

    def __init__(self, folder: Path) -> None:
        self.current: Shown | None = None
        self.latest = 0

    def first_version(self) -> int:
        """Give the version of a new session."""
        return 1

    def open(self, session: str) -> Shown:
        """Give the session of the slot; a new one is called `session`."""
        point("open", "slot", "w")
        if self.current is None:
            self.current = session, self.first_version()
            self.latest = self.current[1]
        return self.current

    def load(self) -> Shown | None:
        """Give the session of the slot, if there is one."""
        point("load", "slot", "r")
        return self.current

    def save(self, expected: int) -> str | None:
        """Change the session if it has that version; give which one was changed."""
        point("compare and set", "slot", "w")
        if self.current is None or self.current[1] != expected:
            return None
        self.latest += 1
        self.current = self.current[0], self.latest
        return self.current[0]

    def end(self) -> None:
        """End the session of the slot."""
        point("end", "slot", "w")
        self.current = None


class VersionGoesOn(VersionRestarts):
    """Counts the versions of all sessions of the slot on."""

    def first_version(self) -> int:
        return self.latest + 1


def a_save_over_an_end(s: Scenario, make: Make, folder: Path) -> None:
    """A session is loaded and saved while it is ended and another is opened in its place."""
    slot = make(folder)
    slot.open("former")

    def save() -> None:
        loaded = slot.load()
        if loaded is not None:
            with s.history.record("request", "save", session=loaded[0]) as op:
                op.ok(slot.save(loaded[1]))

    s.worker("request", save)
    s.worker("logout", slot.end)
    s.worker("login", partial(slot.open, "latter"))
    s.check(saves_hit_what_was_loaded)


def saves_hit_what_was_loaded(history: History) -> None:
    """A save is done to the session that was loaded, or not at all."""
    for operation in history.operations:
        was_loaded = operation.args["session"]
        assert operation.result in (None, was_loaded), f"a save for {was_loaded} changed {operation.result}"


class SlotMachine(RuleBasedStateMachine):
    """Opens, saves and ends, with versions of whichever session."""

    def __init__(self, slot: Any) -> None:
        super().__init__()
        self.slot = slot
        self.shown: list[Shown] = []
        self.number = 0

    @rule()
    def opens(self) -> None:
        self.number += 1
        self.shown.insert(0, self.slot.open(f"session {self.number}"))

    @rule(pick=st.integers(0, 5))
    def saves(self, pick: int) -> None:
        if pick < len(self.shown):
            session, version = self.shown[pick]
            assert self.slot.save(version) in (None, session), "a save for an ended session changed another"
            loaded = self.slot.load()
            if loaded is not None:
                self.shown.insert(0, loaded)

    @rule()
    def ends(self) -> None:
        self.slot.end()


def machine(make: Make, folder: Path, effort: Effort) -> Finding:
    """Draw traces on one slot (H)."""
    return drawn(lambda: SlotMachine(make(folder)), effort)
