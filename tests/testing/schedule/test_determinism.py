"""A scenario that does not do the same each time is told as that, and never as a race."""

import itertools
import pickle
import random
import uuid

import pytest

from sessionguard.core.points import point
from sessionguard.testing.history import History
from sessionguard.testing.schedule import Interleaver, NondeterministicScenario, Scenario


def test_ids_of_its_own_are_noticed() -> None:
    """A scenario that names its rows by fresh ids is refused, and the first differing point is named."""

    def setup(s: Scenario) -> None:
        def work() -> None:
            point("INSERT", uuid.uuid4().hex, "w")

        s.worker("a", work)

    with pytest.raises(NondeterministicScenario, match="worker a stood before 'INSERT'") as caught:
        Interleaver().run(setup)
    assert caught.value.step == 0


def test_another_number_of_steps_is_noticed() -> None:
    """A worker that has one point more every time is refused."""
    counter = itertools.count()

    def setup(s: Scenario) -> None:
        count = next(counter)

        def work() -> None:
            for _ in range(count):
                point("step", "x", "r")

        s.worker("a", work)

    with pytest.raises(NondeterministicScenario, match="at step 1 worker a"):
        Interleaver().run(setup)


def test_a_failure_that_does_not_come_again_is_noticed() -> None:
    """A check that fails only the first time gives an error about the scenario, not a race."""
    runs = itertools.count()

    def setup(s: Scenario) -> None:
        run = next(runs)

        def third_is_wrong(history: History) -> None:
            assert run != 2

        s.worker("a", lambda: point("step", "x", "w"))
        s.check(third_is_wrong)

    with pytest.raises(NondeterministicScenario, match="the same schedule failed"):
        Interleaver().run(setup)


def test_ids_and_luck_of_the_scenario_are_the_same_in_every_schedule() -> None:
    """Each worker draws its own ids and numbers, whoever comes first; another seed gives others."""
    drawn: dict[int, set[tuple[object, ...]]] = {}

    for seed in (1, 2):

        def setup(s: Scenario, seed: int = seed) -> None:
            got: dict[str, object] = {"setup": s.uuid()}

            def work(me: str) -> None:
                point("draw", "x", "w")
                got[me] = (s.uuid(), s.random.random())

            for name in "ab":
                s.worker(name, lambda name=name: work(name))
            s.check(lambda history: drawn.setdefault(seed, set()).add((got["setup"], got["a"], got["b"])))

        assert Interleaver(seed=seed).run(setup).exhausted
    assert [len(each) for each in drawn.values()] == [1, 1]
    assert drawn[1].isdisjoint(drawn[2])
    ((setup_id, a, b),) = drawn[1]
    assert len({str(setup_id), str(a), str(b)}) == 3


def test_the_same_seed_gives_the_same_search() -> None:
    """Two runs of a random search choose the same schedules; the generators of Python are left alone."""

    def search(seed: int) -> list[tuple[str, ...]]:
        orders: list[tuple[str, ...]] = []

        def setup(s: Scenario) -> None:
            order: list[str] = []

            def work(me: str) -> None:
                for _ in range(3):
                    point("step", "x", "w")
                    order.append(me)

            for name in "ab":
                s.worker(name, lambda name=name: work(name))
            s.check(lambda history: orders.append(tuple(order)))

        Interleaver("random", seed=seed).run(setup)
        return orders[:50]

    random.seed(4)
    assert search(1) == search(1)
    assert search(1) != search(2)
    expected = random.Random(4).random()
    assert random.random() == expected


def test_the_error_survives_pickling() -> None:
    """It may come out of another process whole."""
    error = NondeterministicScenario(3, "worker a stood elsewhere")
    received = pickle.loads(pickle.dumps(error))
    assert (str(received), received.step, received.detail) == (str(error), 3, "worker a stood elsewhere")
