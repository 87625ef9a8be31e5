"""A register as the plainest specification, histories of it, and the judge that tries every order."""

import random
from collections.abc import Iterable, Sequence

from attrs import evolve

from sessionguard.testing.history import Model, Operation, Outcome


class Register(Model[int]):
    """One value: `write` stores it, `read` gives it, `cas` replaces the expected one, `flip` stores 1 or 2."""

    def initial(self) -> int:
        """Nothing was written."""
        return 0

    def step(self, state: int, operation: Operation) -> Iterable[int]:
        """Judge one operation."""
        args, known = operation.args, operation.outcome == "ok"
        match operation.name:
            case "write":
                return (args["value"],)
            case "read":
                return (state,) if not known or operation.result == state else ()
            case "flip":
                return (1, 2)
        swapped = state == args["expected"]
        if known and operation.result != swapped:
            return ()
        return (args["value"] if swapped else state,)


class EagerRegister(Register):
    """The same, which says what only reads."""

    def only_reads(self, operation: Operation) -> bool:
        """A read does, and a compare-and-set that failed."""
        return operation.outcome == "ok" and (
            operation.name == "read" or (operation.name == "cas" and operation.result is False)
        )


def drawn(seed: int, *, most: int = 8) -> list[Operation]:
    """Give a history of up to `most` operations by a few clients; many of them are wrong, by a little."""
    draw = random.Random(seed)
    operations: list[Operation] = []
    value = 0
    free = dict.fromkeys(range(draw.randrange(1, 5)), 0)
    for effect in range(draw.randrange(1, most + 1)):
        client = draw.choice(sorted(free))
        begin = max(free[client], 4 * effect - draw.randrange(16))
        end = max(begin, 4 * effect + draw.randrange(16))
        operation, value = _performed(draw, value)
        if draw.random() < 0.15:
            operation = evolve(operation, result=draw.choice((0, 1, 2, True, False)))
        outcomes: tuple[Outcome, ...] = ("ok", "info", "fail")
        outcome = draw.choices(outcomes, (8, 2, 1))[0]
        ret = end if outcome == "ok" else None
        operations.append(evolve(operation, client=str(client), call=begin, ret=ret, outcome=outcome))
        free[client] = end + draw.randrange(2)
    return operations


def _performed(draw: random.Random, value: int) -> tuple[Operation, int]:
    name = draw.choice(("write", "read", "read", "cas", "cas", "flip"))
    new = draw.choice((1, 2, 3))
    blank = Operation("", name, {}, 0, 0)
    match name:
        case "write":
            return evolve(blank, args={"value": new}), new
        case "read":
            return evolve(blank, result=value), value
        case "flip":
            return blank, draw.choice((1, 2))
    expected = draw.choice((value, value, new))
    swapped = expected == value
    return evolve(blank, args={"expected": expected, "value": new}, result=swapped), new if swapped else value


def has_legal_order(operations: Sequence[Operation], state: int = 0) -> bool:
    """Tell whether some order is legal, by trying all of them, with no memo, no list and no sets of states."""
    rest = [operation for operation in operations if operation.outcome != "fail"]
    returns = [operation.ret for operation in rest if operation.ret is not None]
    if not returns:
        return True
    for operation in rest:
        # Whoever was called after another had returned cannot come before it.
        if operation.call <= min(returns):
            others = [other for other in rest if other is not operation]
            if any(has_legal_order(others, after) for after in Register().step(state, operation)):
                return True
    return False
