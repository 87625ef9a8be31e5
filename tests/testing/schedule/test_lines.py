"""The line engine: every line of named modules is a point."""

import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from sessionguard.errors import MisuseError
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Interleaver, Scenario
from tests.testing.schedule import undeclared


def counting(s: Scenario) -> None:
    """Two threads count in a store that declares nothing."""
    counter = undeclared.Counter()

    def add(me: str) -> None:
        with s.history.record(me, "add") as op:
            op.ok(counter.add())

    def every_number_once(history: History) -> None:
        numbers = [operation.result for operation in history.operations]
        assert len(set(numbers)) == len(numbers)

    for name in ("a", "b"):
        s.worker(name, lambda name=name: add(name))
    s.check(every_number_once)


def test_a_race_between_lines_is_found_and_repeated() -> None:
    """A lost update in a module without points is found, named by function and line, and repeated by its id."""
    search = Interleaver("dpor", lines=[undeclared.__name__])
    failure = search.run(counting).failure
    assert failure is not None
    assert failure.minimal.preemptions == 1
    assert "Counter.add+" in failure.render()
    for _ in range(100):
        assert search.run(counting, replay=failure.replay_id).failure is not None


def test_without_it_nothing_is_seen() -> None:
    """The same scenario has no points of its own: whole operations are all that is interleaved."""
    outcome = Interleaver().run(counting)
    assert outcome.ok
    assert outcome.exhausted


def test_lines_of_other_modules_are_no_points() -> None:
    """Only the named modules are watched, and only in workers."""

    def scenario(s: Scenario) -> None:
        s.worker("a", partial(undeclared.add_quietly, undeclared.Counter()))
        s.check(never)

    def never(history: History) -> None:
        raise AssertionError

    failure = Interleaver("serial", lines=[undeclared.__name__]).run(scenario).failure
    assert failure is not None
    labels = [step.point.label for step in failure.minimal.steps]
    assert labels == ["add_quietly+2", "Counter.add+2", "Counter.add+3", "Counter.add+4", "Counter.add+5"]


def test_tracing_is_over_when_the_search_is() -> None:
    """Neither this thread nor a new one is traced or monitored afterwards."""
    before = sys.gettrace()
    Interleaver("serial", lines=[undeclared.__name__]).run(counting)
    assert sys.gettrace() is before
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(sys.gettrace()))
    thread.start()
    thread.join()
    assert seen == [None] or before is not None
    if sys.version_info >= (3, 12):
        assert "sessionguard" not in [sys.monitoring.get_tool(number) for number in range(6)]


def test_an_unknown_module_is_refused() -> None:
    """A name that is not imported would watch nothing."""
    with pytest.raises(MisuseError, match="not imported"):
        Interleaver(lines=["no.such.module"]).run(counting)


SHOWN_WITH_LINES = """
from sessionguard.core.points import point
from sessionguard.testing.schedule import Interleaver

class Counter:
    def __init__(self):
        self.value = 0

    def add(self):
        self.value += 1

    def shown(self):
        point("read", "counter", "r")
        return self.value

def scenario(s):
    counter = Counter()
    s.show(lambda: counter.shown())
    for me in ("ada", "bob"):
        s.worker(me, counter.add)
    s.check(lambda history: None)

outcome = Interleaver("dpor", lines=["__main__"]).run(scenario)
print(outcome.ok, outcome.schedules > 1)
"""


def test_what_is_shown_is_no_point(tmp_path: Path) -> None:
    """Lines and points of the function that shows the state are passed by whoever asks it, and stop nobody."""
    script = tmp_path / "shown.py"
    script.write_text(SHOWN_WITH_LINES)
    # In a process of its own, because a search that gets stuck never comes back.
    told = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert told.stdout.split() == ["True", "True"], told.stderr
