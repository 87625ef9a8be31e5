"""The checker: it finds an order if there is one, and says how far it came if there is none."""

from collections.abc import Hashable, Iterable

import pytest

from sessionguard.testing import Profile
from sessionguard.testing.history import (
    Budget,
    History,
    HistoryError,
    Illegal,
    Legal,
    Model,
    Operation,
    Unknown,
    UnknownVerdictWarning,
    check,
    require_legal,
)
from tests.testing.history.registers import EagerRegister, Register, drawn, has_legal_order


def op(client: str, name: str, call: int, ret: int | None, result: object = None, **args: object) -> Operation:
    """Give an operation; without an end it is one that nobody knows about."""
    return Operation(client, name, args, call, ret, "ok" if ret is not None else "info", result)


def test_every_verdict_is_that_of_all_orders(sg_profile: Profile) -> None:
    """On random small histories the checker and the judge who tries every order agree, without exception."""
    counts = {True: 0, False: 0}
    for seed in range(10_000 if sg_profile.name == "deep" else 3_000):
        history = drawn(seed)
        expected = has_legal_order(history)
        for model in (Register, EagerRegister):
            assert isinstance(check(history, model), Legal if expected else Illegal), f"seed {seed}"
        counts[expected] += 1
    assert min(counts.values()) > sum(counts.values()) / 10


def test_overlapping_calls_may_have_happened_in_either_order() -> None:
    """A read that overlaps a write may give the value before it or after it."""
    for value in (0, 1):
        assert check([op("a", "write", 0, 10, value=1), op("b", "read", 5, 6, value)], Register).is_legal


def test_a_return_before_a_call_is_an_order() -> None:
    """A read that begins after a write has returned gives what was written."""
    assert isinstance(check([op("a", "write", 0, 4, value=1), op("b", "read", 5, 6, 0)], Register), Illegal)


def test_a_call_at_the_instant_of_a_return_overlaps_it() -> None:
    """Intervals are closed: at one and the same instant neither came first for certain."""
    assert check([op("a", "write", 0, 5, value=1), op("b", "read", 5, 6, 0)], Register).is_legal


@pytest.mark.parametrize("reads", [(0, 0), (0, 1), (1, 1)])
def test_an_unknown_operation_may_take_effect_late_or_never(reads: tuple[int, int]) -> None:
    """A write whose answer was lost may be seen at once, later, or not at all."""
    history = [op("a", "write", 0, None, value=1), op("b", "read", 5, 6, reads[0]), op("b", "read", 7, 8, reads[1])]
    assert check(history, Register).is_legal


def test_an_unknown_operation_takes_effect_once() -> None:
    """What it wrote and another overwrote does not come back."""
    history = [
        op("a", "write", 0, None, value=1),
        op("b", "read", 1, 2, 1),
        op("b", "write", 3, 4, value=2),
        op("b", "read", 5, 6, 1),
    ]
    assert isinstance(check(history, Register), Illegal)


def test_an_unknown_operation_has_no_effect_before_its_call() -> None:
    """Nobody reads what was not yet being written."""
    assert isinstance(check([op("b", "read", 0, 1, 1), op("a", "write", 2, None, value=1)], Register), Illegal)


def test_a_failed_operation_did_nothing() -> None:
    """What it would have written is never read."""
    failed = Operation("a", "write", {"value": 1}, 0, 1, "fail")
    assert check([failed, op("b", "read", 2, 3, 0)], Register).is_legal
    assert isinstance(check([failed, op("b", "read", 2, 3, 1)], Register), Illegal)


def test_the_evidence_is_the_longest_legal_order_and_what_is_stuck() -> None:
    """The report names the order that came farthest, the operation that fits nowhere, and the state there."""
    history = [op("a", "write", 0, 1, value=1), op("b", "read", 2, 3, 1), op("c", "read", 4, 5, 2)]
    verdict = check(history, Register)
    assert isinstance(verdict, Illegal)
    assert (verdict.prefix, verdict.stuck, verdict.states) == (tuple(history[:2]), history[2], (1,))


def test_a_choice_of_the_specification_stays_open_until_it_is_seen() -> None:
    """`flip` stores one of two values; whichever is read first stays."""
    flip = op("a", "flip", 0, 1)
    for value in (1, 2):
        assert check([flip, op("b", "read", 2, 3, value), op("b", "read", 4, 5, value)], Register).is_legal
    torn = [flip, op("b", "read", 2, 3, 1), op("b", "read", 4, 5, 2)]
    assert isinstance(check(torn, Register), Illegal)


class Registers(Register):
    """One register for each name."""

    def keys(self, operation: Operation) -> Iterable[Hashable]:
        """Operations on different names do not touch each other."""
        return (operation.args["register"],)


def test_each_key_is_checked_by_itself() -> None:
    """The verdict names the key that is wrong, with its operations alone."""
    good = [op("a", "write", 0, 1, register="x", value=1), op("a", "read", 2, 3, 1, register="x")]
    bad = [op("b", "write", 0, 1, register="y", value=1), op("b", "read", 2, 3, 0, register="y")]
    verdict = check([*good, *bad], Registers())
    assert isinstance(verdict, Illegal)
    assert (verdict.key, list(verdict.operations)) == ("y", bad)


class Hard(Model[int]):
    """Every order leads to another state, and none of them to the end."""

    def initial(self) -> int:
        """Begin."""
        return 1

    def step(self, state: int, operation: Operation) -> Iterable[int]:
        """Let no two orders meet."""
        return () if operation.name == "never" else (state * 31 + int(operation.result),)


HARD = [*(op(f"c{number}", "any", 0, 100, number) for number in range(9)), op("z", "never", 0, 100)]


@pytest.mark.parametrize("budget", [Budget(seconds=60, steps=1_000), Budget(seconds=0.0)])
def test_a_search_that_costs_too_much_is_given_up(budget: Budget) -> None:
    """The verdict is unknown and says why; a warning, or an error where verdicts must be known."""
    verdict = check(HARD, Hard, budget)
    assert isinstance(verdict, Unknown)
    assert "no verdict after" in verdict.render()
    with pytest.warns(UnknownVerdictWarning):
        require_legal(verdict)
    with pytest.raises(HistoryError, match="UNKNOWN"):
        require_legal(verdict, strict=True)


def test_an_illegal_key_is_found_beside_one_that_costs_too_much() -> None:
    """Giving up on one key does not hide what another shows."""

    class HardAndEasy(Hard):
        def keys(self, operation: Operation) -> Iterable[Hashable]:
            return (operation.client[0],)

    hard = [*(op(f"c{number}", "any", 0, 100, number) for number in range(9)), op("c", "never", 0, 100)]
    easy = [*(op("z", "any", number, number, number) for number in range(20)), op("z", "never", 30, 31)]
    verdict = check([*hard, *easy], HardAndEasy, Budget(steps=1_000))
    assert isinstance(verdict, Illegal)
    assert verdict.key == "z"


def test_the_same_state_is_not_searched_twice() -> None:
    """Of the orders of nine operations that come to the same, one is searched, not a third of a million."""
    history = [*(op(f"c{number}", "write", 0, 10, value=1) for number in range(9)), op("z", "read", 20, 21, 2)]
    assert isinstance(check(history, Register, Budget(steps=5_000)), Illegal)


def test_the_longest_order_is_reported_even_if_it_is_not_the_first_found() -> None:
    """An order that comes farther replaces the one that was stuck earlier."""
    history = [
        op("a", "write", 0, 10, value=1),
        op("b", "write", 0, 10, value=2),
        op("c", "read", 11, 12, 1),
        op("d", "read", 13, 14, 3),
    ]
    verdict = check(history, Register)
    assert isinstance(verdict, Illegal)
    assert ([each.client for each in verdict.prefix], verdict.stuck) == (["b", "a", "c"], history[3])


def test_a_history_judges_itself() -> None:
    """`history.linearizable` is the check of its operations, and an illegal one raises with its report."""
    history = History()
    with history.record("a", "write", value=1) as operation:
        operation.ok()
    assert history.linearizable(Register) == check(history.operations, Register())
    with history.record("b", "read") as operation:
        operation.ok(3)
    with pytest.raises(HistoryError, match="told by read"):
        require_legal(history.linearizable(Register))
