"""The sweeps over processes: an operation is struck at every stop in turn, and whoever comes after must find all well.

Killed, stopped for longer than its lease, forked in the middle, or with a clock that jumps: one driver plays them all.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from attrs import evolve, field, frozen

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.testing.faults.cancelling import LIMIT, TRIES
from sessionguard.testing.history import History, require_legal
from sessionguard.testing.history.checking import AnyModel
from sessionguard.testing.portable import refuse_unportable
from sessionguard.testing.sweeps.errors import SweepError, told
from sessionguard.testing.sweeps.nursery import Nursery, a_nursery
from sessionguard.testing.sweeps.orders import Ended, Jump, Order, Part, Run, Strike
from sessionguard.testing.sweeps.stops import DECLARED, Stop, check_source

__tracebackhide__ = True

PATIENCE_SECONDS: Final = 20.0
_VARIES: Final = (
    "so what is struck is not the same each time, and the rest of it was never struck; let prepare(run) make all that "
    "it meets, in run.folder or under run.name"
)
_FATAL: Final = frozenset({"kill", "pause"})


@frozen
class SweepReport:
    """Where the operation was struck, in order, by kind of fault."""

    strikes: dict[str, tuple[Stop, ...]]

    @property
    def total(self) -> int:
        """How often it was struck."""
        return sum(map(len, self.strikes.values()))


@frozen
class Plan:
    """An operation, who comes after, and what must be true then. See `kill_sweep` for the parts."""

    operation: Part
    survivor: Part
    prepare: Part | None = None
    check: Part | None = None
    in_fork: Part | None = None
    stops: str = DECLARED
    lease: timedelta = timedelta()
    refusals: tuple[type[BaseException], ...] = ()
    model: AnyModel | None = None
    strict: bool = False
    wall_clock: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    folder: Path | None = None
    only: str | None = None

    def play(self, strikes: Sequence[Strike]) -> SweepReport:
        """Strike at every stop with each of these, or once as `only` says."""
        check_source(self.stops)
        for part in ("operation", "survivor", "prepare", "check", "in_fork"):
            refuse_unportable(part, getattr(self, part))
        if not strikes or len({strike.kind for strike in strikes}) < len(strikes):
            told = ", ".join(strike.kind for strike in strikes) or "none"
            raise MisuseError(f"give at least one fault or jump, and none twice: this would strike with {told}")
        if self.patience_seconds <= 0:
            raise InvalidArgumentError("patience_seconds", self.patience_seconds, "give more than 0")
        only = None if self.only is None else Strike.parse(self.only)
        if only is not None and only.fault not in {strike.fault for strike in strikes}:
            raise MisuseError(f"{self.only!r} is the id of another sweep: this one has no {only.fault!r}")
        with self._folder() as folder, a_nursery() as nursery:
            sweep = _Sweep(self, nursery, folder)
            if only is not None:
                return sweep.play_only(only)
            most = sweep.play_unstruck()
            return SweepReport({strike.kind: tuple(sweep.play_all(strike, most)) for strike in strikes})

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        if self.folder is not None:
            yield self.folder
            return
        with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
            yield Path(folder)


@frozen
class _Sweep:
    plan: Plan
    nursery: Nursery
    folder: Path
    counts: list[int] = field(factory=lambda: [0])

    def play_unstruck(self) -> int:
        """The whole run is right while nobody strikes, and the same each time; give the number of its stops.

        If it is not, the sweep would show nothing.
        """
        first = self._play_once()
        # What was imported wrote files; the next run finds all of it there.
        most = self._play_once().stops if first.modules else first.stops
        fewest = most
        for _ in range(TRIES):
            count = self._play_once().stops
            fewest = min(fewest, count)
            if count >= most:
                # Ids that are drawn may decide which shards are asked, so no strike has to reach more than the fewest.
                return fewest
        raise SweepError(f"without any fault the operation came to {most} stops once, and then to {count}: {_VARIES}")

    def _play_once(self) -> Ended:
        run, ended = self._operate(None)
        if ended.how != "returned":
            raise SweepError(f"without any fault, the operation {ended}")
        findings = self._finish(run, ended, None)
        if findings:
            raise SweepError(f"without any fault:\n{findings}")
        if ended.stops < 2:
            raise SweepError(
                'the operation came to no stop before its end; use stops="io" or "lines:<module>", or declare points'
            )
        shutil.rmtree(run.folder)
        shutil.rmtree(run.journals)
        return ended

    def play_all(self, strike: Strike, most: int) -> Iterator[Stop]:
        """Strike at the first stop, the second, and so on to the one after its end, which is number `most` or later."""
        for number in range(1, LIMIT):
            stop = self._strike_surely(evolve(strike, stop=number), most)
            yield stop
            if stop.is_end:
                return
        raise SweepError(f"after {LIMIT} strikes ({strike.kind}) there is still another stop: it does not end")

    def _strike_surely(self, strike: Strike, most: int) -> Stop:
        for _ in range(TRIES):
            stop = self._strike(strike)
            if stop is not None and (not stop.is_end or stop.number >= most):
                return stop
        raise SweepError(
            f"without any fault the operation came to {most} stops, and before it was struck at number {strike.stop} "
            f"({strike.kind}) it was at its end: {_VARIES}"
        )

    def play_only(self, strike: Strike) -> SweepReport:
        """Strike where this one says."""
        stop = self._strike(strike)
        if stop is None:
            raise SweepError(f"there is no stop {strike.stop!r}: it was over before")
        return SweepReport({strike.kind: (stop,)})

    def _strike(self, strike: Strike) -> Stop | None:
        run, ended = self._operate(strike)
        stop = ended.stop
        findings = self._finish(run, ended, strike)
        if not findings:
            shutil.rmtree(run.folder)
            shutil.rmtree(run.journals)
            return stop
        if stop is None:
            raise SweepError(f"without having been struck:\n{findings}")
        raise SweepError(told(strike.told_at(stop), findings, strike.id_at(stop)))

    def _operate(self, strike: Strike | None) -> tuple[Run, Ended]:
        """Make a new world, prepare it, and play the operation there as far as it comes."""
        run = self._new_run()
        self.nursery.jump(Jump(None))
        if self.plan.prepare is not None:
            ended = self._play(self.plan.prepare, run, "prepare")
            if ended.how != "returned":
                raise SweepError(f"the preparation {ended}")
        order = self._order(self.plan.operation, run, "operation")
        return run, self.nursery.play(evolve(order, strike=strike, in_fork=self.plan.in_fork, counts=True))

    def _finish(self, run: Run, ended: Ended, strike: Strike | None) -> str:
        """Play what comes after, and give what was wrong, as text; nothing if all is well."""
        if self.plan.lease:
            self.nursery.jump(Jump(self.plan.lease))
        run = evolve(run, operation=ended)
        wrong = [] if ended.how == "stopped" else self._wrong_with_operation(ended)
        survivor = self._play(self.plan.survivor, run, "survivor")
        if survivor.how != "returned":
            wrong.append(f"the survivor {survivor}")
        if ended.how == "stopped":
            ended = self.nursery.wake(self.plan.patience_seconds)
            wrong += self._wrong_with_operation(ended)
        run = evolve(run, operation=ended, survivor=survivor)
        if self.plan.check is not None and not wrong:
            checked = self._play(self.plan.check, run, "check")
            if checked.how != "returned":
                wrong.append(f"the check {checked}")
        return "\n".join([*wrong, *self._illegal(run)])

    def _wrong_with_operation(self, ended: Ended) -> list[str]:
        wrong = []
        if ended.how not in ("returned", "killed") and not ended.raised(*self.plan.refusals):
            wrong.append(f"the operation {ended}")
        if ended.fork is not None and ended.fork.how != "returned" and not ended.fork.raised(*self.plan.refusals):
            wrong.append(f"the forked child {ended.fork}")
        return wrong

    def _illegal(self, run: Run) -> list[str]:
        if self.plan.model is None:
            return []
        history = History()
        for journal in sorted(run.journals.glob("*.jsonl")):
            history.add(History.from_journal(journal).operations)
        try:
            require_legal(history.linearizable(self.plan.model), strict=self.plan.strict)
        except AssertionError as error:
            return [f"the history is not legal: {error}"]
        return []

    def _play(self, function: Part, run: Run, part: str) -> Ended:
        return self.nursery.play(self._order(function, run, part))

    def _order(self, function: Part, run: Run, part: str) -> Order:
        return Order(
            function,
            evolve(run, part=part),
            self.plan.stops,
            self.plan.patience_seconds,
            wall_clock=self.plan.wall_clock,
        )

    def _new_run(self) -> Run:
        self.counts[0] += 1
        # What another sweep left there because it failed is kept.
        while (self.folder / f"run{self.counts[0]}").exists():
            self.counts[0] += 1
        number = self.counts[0]
        folder, journals = self.folder / f"run{number}", self.folder / f"journals{number}"
        folder.mkdir(parents=True)
        journals.mkdir(exist_ok=True)
        return Run(number, folder, journals)


def strikes_of(faults: Sequence[str]) -> list[Strike]:
    """Give the strikes of these faults, for every stop. Raises `MisuseError` if one is neither "kill" nor "pause"."""
    for fault in faults:
        if fault not in _FATAL:
            raise MisuseError(f'no such fault: {fault!r}; give "kill", "pause", or both')
    return [Strike(fault, 0) for fault in faults]  # type: ignore[arg-type]
