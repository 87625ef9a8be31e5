"""The states after a history are those of all its legal orders, as trying every order tells."""

import itertools
import random
from collections.abc import Iterable

from sessionguard.testing.history import Model, Operation
from sessionguard.testing.history.checking import final_states


class Cell(Model[int]):
    """A number that is written, added to and read; it may begin as any of several."""

    def __init__(self, *beginnings: int) -> None:
        self.beginnings = beginnings

    def initials(self) -> Iterable[int]:
        """Give all beginnings."""
        return self.beginnings

    def step(self, state: int, operation: Operation) -> Iterable[int]:
        """Write, add, or read what is there."""
        value = operation.args["value"]
        match operation.name:
            case "write":
                return (value,)
            case "add":
                return (state + value,)
            case "read":
                return (state,) if operation.result == state else ()
        return (state, value)

    def only_reads(self, operation: Operation) -> bool:
        """Tell whether it is a read."""
        return operation.name == "read"


def operation(name: str, value: int, call: int, ret: int | None, result: int | None = None) -> Operation:
    """Give an operation of a client of its own; without a return its outcome is not known."""
    outcome = "info" if ret is None else "ok"
    return Operation(f"c{call}", name, {"value": value}, call, ret, outcome=outcome, result=result)  # type: ignore[arg-type]


def by_brute_force(operations: list[Operation], model: Cell) -> set[int]:
    """Give the final states by trying every order of every set of operations that holds all that returned."""
    unknown = [one for one in operations if one.ret is None]
    certain = [one for one in operations if one.ret is not None]
    finals: set[int] = set()
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations([*certain, *chosen]):
                if all(a.call <= (b.ret or 10**9) for a, b in itertools.combinations(order, 2)):
                    states = set(model.initials())
                    for one in order:
                        states = {after for state in states for after in model.step(state, one)}
                    finals |= states
    return finals


def drawn(luck: random.Random) -> list[Operation]:
    """Give up to five operations that overlap by chance; some reads are wrong, some calls never return."""
    operations = []
    for _ in range(luck.randint(0, 5)):
        name = luck.choice(("write", "add", "read", "either"))
        call = luck.randint(0, 12)
        ret = None if name != "read" and luck.random() < 0.25 else call + luck.randint(1, 6)
        operations.append(operation(name, luck.randint(0, 2), call, ret, luck.randint(0, 4)))
    return operations


def test_final_states_are_those_of_every_legal_order() -> None:
    """A thousand random histories lead to exactly the states that trying all orders gives."""
    luck = random.Random(4)
    empty = 0
    for _ in range(1_000):
        operations, model = drawn(luck), Cell(*luck.sample(range(3), luck.randint(1, 2)))
        states, order = final_states(operations, model)
        assert states == by_brute_force(operations, model), operations
        assert all(one in order for one in operations if one.ret is not None) or not states
        empty += not states
    assert 100 < empty < 900


def test_an_order_that_is_given_is_legal() -> None:
    """The order that comes with the states leads to one of them."""
    writes = [operation("write", 1, 1, 5), operation("write", 2, 1, 5), operation("read", 0, 6, 7, 2)]
    states, order = final_states(writes, Cell(0))
    assert states == {2}
    assert [one.args["value"] for one in order] == [1, 2, 0]
