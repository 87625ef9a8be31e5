"""What a check costs, in processor time, so that the load of the machine does not matter."""

import random
import time
from collections.abc import Sequence

import pytest
from attrs import evolve

from sessionguard.testing.history import Budget, History, Illegal, Legal, Operation, SessionModel, Unknown, check
from sessionguard.testing.history.sessions.workload import FREQUENCIES
from sessionguard.testing.model import ModelStore
from tests.testing.history.registers import EagerRegister
from tests.testing.history.simulated import simulated

ONE_SLOT = {name: weight for name, weight in FREQUENCIES.items() if name != "create"}


def one_slot(operations: int, *, seed: int, unknown: float = 0.0, clients: int = 8) -> list[Operation]:
    """Give a history of one slot, and nothing else."""
    return simulated(
        ModelStore(),
        clients=clients,
        operations=operations,
        seed=seed,
        unknown=unknown,
        owners=("ana",),
        external_ids=(None,),
        frequencies=ONE_SLOT,
    )


def falsified(history: Sequence[Operation], seed: int) -> list[Operation]:
    """Give the history with one save in its second half that answers with the version after the next."""
    changed = list(history)
    saves = [
        number
        for number, operation in enumerate(history)
        if operation.name == "save" and operation.outcome == "ok" and operation.result.record is not None
    ]
    number = random.Random(seed).choice(saves[len(saves) // 2 :])
    reply = changed[number].result
    record = evolve(reply.record, version=reply.record.version + 1)
    changed[number] = evolve(changed[number], result=evolve(reply, record=record))
    return changed


def seconds_of(history: Sequence[Operation], expected: type[Legal] | type[Illegal]) -> float:
    """Give how long the check takes; its verdict must be the expected one."""
    began = time.process_time()
    verdict = check(history, SessionModel, Budget(seconds=30))
    spent = time.process_time() - began
    assert isinstance(verdict, expected), verdict.render()
    return spent


@pytest.mark.timing
def test_a_thousand_operations_of_eight_clients_take_less_than_a_second() -> None:
    """The worst of a few valid histories of a single slot is judged within a second."""
    assert max(seconds_of(one_slot(1_000, seed=seed), Legal) for seed in range(4)) < 1.0


@pytest.mark.timing
def test_what_the_rule_allows_is_judged_within_its_budget() -> None:
    """Eight clients and 500 operations on one key: two seconds, right or wrong."""
    for seed in range(6):
        history = one_slot(500, seed=seed)
        assert seconds_of(history, Legal) < 2.0
        assert seconds_of(falsified(history, seed), Illegal) < 2.0


def test_lost_answers_are_seldom_too_many() -> None:
    """Where a twentieth of the answers is lost, no verdict is wrong, and at most one in ten is given up."""
    budget = Budget(seconds=60, steps=50_000)
    given_up = 0
    for seed in range(10):
        history = one_slot(500, seed=seed, unknown=0.05)
        right, wrong = check(history, SessionModel, budget), check(falsified(history, seed), SessionModel, budget)
        assert not isinstance(right, Illegal), right.render()
        assert not isinstance(wrong, Legal)
        given_up += isinstance(right, Unknown) + isinstance(wrong, Unknown)
    assert given_up <= 2


@pytest.mark.timing
def test_a_long_history_costs_as_much_as_its_operations() -> None:
    """Ten times the operations, with the clients of one key as many, take far less than a hundred times as long."""
    short, long = (
        min(seconds_of(one_slot(operations, seed=seed), Legal) for seed in range(3)) for operations in (200, 2_000)
    )
    assert long < 50 * max(short, 0.002)


@pytest.mark.timing
def test_recording_costs_microseconds() -> None:
    """A recorded call costs less than a tenth of a millisecond, so that it hardly changes what it watches."""
    history, calls = History(), 2_000
    began = time.process_time()
    for _ in range(calls):
        with history.record("a", "write", value=1) as operation:
            operation.ok()
    assert (time.process_time() - began) / calls < 1e-4
    assert isinstance(check(history, EagerRegister), Legal)
