"""Replay ids: a schedule as short text that survives unrelated edits, `sg1:a@INSERT#1;b@end;a@end`.

Each segment says who runs and where it stops: before the point it names, the first or the nth time it comes there. So a
point more or less elsewhere, another Python or another engine change nothing. `~c` leaves worker c out and `~a.1` its
second part, as the shrinker found; `seed=7` is the seed of the ids and the luck.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote_plus, unquote_plus

from attrs import field, frozen

from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.schedule.scenario import Removal
from sessionguard.testing.schedule.track import Track

_VERSION: Final = "sg1:"
_END: Final = "end"
_SEED: Final = "seed="
_READABLE: Final = "/()=,*<>!$&"


@frozen
class Segment:
    """One worker runs until it stands before a label for the nth time, or to its end."""

    worker: str
    label: str = ""
    """Where it stops; empty: at its end."""
    occurrence: int = 1

    def __str__(self) -> str:
        worker = _quoted(self.worker)
        if worker.startswith(_SEED):  # It would be taken for the seed.
            worker = worker.replace("=", "%3D", 1)
        if not self.label:
            return f"{worker}@{_END}"
        # A label that is called "end" is told from the end by its number.
        return f"{worker}@{_quoted(self.label)}#{self.occurrence}"


@frozen
class ReplayId:
    """A schedule by its segments, with what the scenario leaves out."""

    segments: tuple[Segment, ...]
    without: frozenset[Removal] = field(default=frozenset())
    seed: int = 0

    def __str__(self) -> str:
        removals = sorted((name, -1 if number is None else number) for name, number in self.without)
        told = [f"{_SEED}{self.seed}"] if self.seed else []
        told += [f"~{_quoted(name)}" + (f".{number}" if number >= 0 else "") for name, number in removals]
        return _VERSION + ";".join(told + [str(segment) for segment in self.segments])

    @classmethod
    def parse(cls, text: str) -> "ReplayId":
        """Give the schedule that `text` stands for.

        Raises:
            InvalidArgumentError: it is no replay id.
        """
        if not text.startswith(_VERSION):
            raise InvalidArgumentError("replay", text, "give an id that a report printed; it begins with 'sg1:'")
        seed, without, segments = 0, set(), []
        for part in filter(None, text.removeprefix(_VERSION).split(";")):
            if part.startswith(_SEED):
                seed = int(part.removeprefix(_SEED))
            elif part.startswith("~"):
                without.add(_removal(part[1:]))
            else:
                segments.append(_segment(part))
        return cls(tuple(segments), frozenset(without), seed)


def replay_id(track: Track, without: frozenset[Removal] = frozenset(), seed: int = 0) -> ReplayId:
    """Give the id of a schedule that was run."""
    segments: list[Segment] = []
    seen: list[Counter[str]] = [Counter() for _ in track.names]
    steps = track.steps
    for number, step in enumerate(steps):
        worker = step.worker
        seen[worker][step.point.label] += 1
        if number + 1 < len(steps) and steps[number + 1].worker == worker:
            continue
        label = _label_of_stop(track, number)
        name = track.names[worker]
        segments.append(Segment(name, label, seen[worker][label] + 1) if label else Segment(name))
    return ReplayId(tuple(segments), without, seed)


class Replay:
    """The strategy that follows the segments; where they cannot be followed any more it goes on as it can."""

    name = "replay"
    is_exhausted = False

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.is_faithful = True
        """Whether every segment stopped where it says."""
        self._segments = list(segments)
        self._place = 0
        self._seen: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def begin(self) -> bool:
        """Rewind."""
        self._place, self.is_faithful = 0, True
        self._seen.clear()
        return True

    def choose(self, track: Track, enabled: Sequence[int]) -> int:
        """Let the worker of the segment go on until it is where the segment ends."""
        while self._place < len(self._segments):
            segment = self._segments[self._place]
            worker = track.names.index(segment.worker) if segment.worker in track.names else -1
            if worker in enabled and not self._is_there(track, worker, segment):
                return self._go_on(track, worker)
            # One that waits for a lock is kept from where it should go: that is what mended the code, not its absence.
            if worker < 0 or worker in enabled or track.pending[worker] is None:
                self.is_faithful &= worker not in enabled if not segment.label else worker in enabled
            self._place += 1
        return self._go_on(track, track.current if track.current in enabled else enabled[0])

    def end(self, track: Track) -> None:
        """Learn nothing."""

    def _is_there(self, track: Track, worker: int, segment: Segment) -> bool:
        point = track.pending[worker]
        if point is None or point.label != segment.label:
            return False
        return self._seen[worker][segment.label] + 1 >= segment.occurrence

    def _go_on(self, track: Track, worker: int) -> int:
        point = track.pending[worker]
        if point is not None:
            self._seen[worker][point.label] += 1
        return worker


def _label_of_stop(track: Track, number: int) -> str:
    """Give the label that the worker of a step stood before when the next one was chosen; empty at its end."""
    step = track.steps[number]
    if number + 1 == len(track.steps):
        point = track.pending[step.worker]
    elif step.is_blocked:  # It came back later, and where it stood then is where it went.
        later = (each.point for each in track.steps[number + 1 :] if each.worker == step.worker)
        point = next(later, track.pending[step.worker])
    else:
        point = step.stop
    return "" if point is None else point.label


def _quoted(text: str) -> str:
    return quote_plus(text, safe=_READABLE).replace(".", "%2E").replace("~", "%7E")


def _removal(text: str) -> Removal:
    name, dot, number = text.partition(".")
    return unquote_plus(name), int(number) if dot else None


def _segment(text: str) -> Segment:
    worker, at, stop = text.partition("@")
    label, number_sign, occurrence = stop.partition("#")
    if not at or (not number_sign and stop != _END) or (number_sign and not occurrence.isdigit()):
        raise InvalidArgumentError("replay", text, "a segment looks like a@INSERT#1 or a@end")
    return (
        Segment(unquote_plus(worker), unquote_plus(label), int(occurrence))
        if number_sign
        else Segment(unquote_plus(worker))
    )
