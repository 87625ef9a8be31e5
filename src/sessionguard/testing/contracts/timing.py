"""Encounters while time passes: sweeps and leases, with the clock as one more of those who meet."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sessionguard.core.commands import Fence
from sessionguard.core.driving import Flow, perform
from sessionguard.testing.contracts.encounters import Encounter, Meeting, Part, encounter
from sessionguard.testing.contracts.stage import IDLE, SECOND, TICK

_LONG_AGO: Final = SECOND - IDLE


class _AtTheLastSecond(Encounter):
    clock_steps = (SECOND,)

    def prepare(self, m: Meeting) -> Flow[Any]:
        return (yield from perform(m.s.get_or_create(m.owner, at=_LONG_AGO))).record


@encounter
class ATouchMeetsASweep(_AtTheLastSecond):
    """A session whose time is running out is extended or swept, and is never swept once it was extended."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "touches": [lambda: perform(m.s.touch(subject, at=m.now()))],
            "sweeps": [lambda: perform(m.s.sweep(at=m.now()))],
        }


@encounter
class ALoadMeetsASweep(_AtTheLastSecond):
    """A load at the last moment extends the session, or is told that it is over, as every sweep finds it."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "loads": [lambda: perform(m.s.load(subject, at=m.now()))],
            "sweeps": [lambda: perform(m.s.sweep(at=m.now()))],
        }


@encounter
class AnOpeningMeetsASweep(_AtTheLastSecond):
    """A slot whose session expires is opened anew by one caller, and the sweep takes only the former session."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "opens": [lambda: perform(m.s.get_or_create(m.owner, at=m.now()))],
            "sweeps": [lambda: perform(m.s.sweep(at=m.now()))],
        }


@encounter
class SweepsMeetSweeps(_AtTheLastSecond):
    """Sweeps that meet end each expired session once between them."""

    def prepare(self, m: Meeting) -> Flow[Any]:
        # A tick before the other: among equals a store goes by ids, which are drawn at random.
        yield from perform(m.s.create(m.owner, at=_LONG_AGO - TICK))
        return (yield from super().prepare(m))

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [lambda: perform(m.s.sweep(1, at=m.now()))],
            "b": [lambda: perform(m.s.sweep(at=m.now()))],
        }


class _WhileALeaseRunsOut(Encounter):
    needs = "locks"
    clock_steps = (SECOND,)

    def prepare(self, m: Meeting) -> Flow[Any]:
        return (yield from perform(m.s.create(m.owner))).record


@encounter
class TwoWantALock(_WhileALeaseRunsOut):
    """A lock has one holder at a time: until that gives it back or its lease is over, and with a higher fence then."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [
                lambda: perform(m.s.acquire(subject, "a", at=m.now())),
                lambda: perform(m.s.release(subject, "a", at=m.now())),
            ],
            "b": [lambda: perform(m.s.acquire(subject, "b", at=m.now()))],
        }

    def aftermath(self, m: Meeting, subject: Any, seen: Sequence[str]) -> Flow[None]:
        yield from perform(m.s.acquire(subject, "later", at=4 * SECOND))
        yield from super().aftermath(m, subject, seen)


@encounter
class AStaleHolderMeetsANewOne(_WhileALeaseRunsOut):
    """Once a lock was taken over, a save under its former fence is refused, even when the lock is free again."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        fence = Fence("door", 1)
        return {
            "a": [
                lambda: perform(m.s.acquire(subject, "a", at=m.now())),
                lambda: perform(m.s.save(subject, {"by": "a"}, fence=fence)),
            ],
            "b": [
                lambda: perform(m.s.acquire(subject, "b", at=m.now())),
                lambda: perform(m.s.release(subject, "b", at=m.now())),
            ],
        }
