"""The check: whether what clients saw can have come from a store that does one thing at a time."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from sessionguard.testing.history.model import Key, Model, State
from sessionguard.testing.history.operations import Operation, in_order
from sessionguard.testing.history.recorder import History
from sessionguard.testing.history.search import Budget, BudgetExceededError, Meter, Search, Stuck
from sessionguard.testing.history.verdicts import Illegal, Legal, Unknown, Verdict

__tracebackhide__ = True

AnyModel = Model[Any] | type[Model[Any]]


def check(history: History | Iterable[Operation], model: AnyModel, budget: Budget | None = None) -> Verdict:
    """Judge whether there is an order of the operations, each within its interval, that `model` allows.

    Operations that failed did nothing and are left out; unknown ones may have happened at any time after their call,
    or never. Each key is searched by itself, the shortest first, and each may cost as much as the budget says.
    """
    recorded = history.operations if isinstance(history, History) else history
    operations = [operation for operation in in_order(recorded) if operation.outcome != "fail"]
    specification = (model() if isinstance(model, type) else model).over(operations)
    for objection in specification.objections(operations):
        return Illegal(objection.reason, witnesses=objection.witnesses, operations=tuple(operations))
    steps = 0
    unknown: Unknown | None = None
    for key, projected in sorted(_by_key(operations, specification), key=lambda part: len(part[1])):
        meter = Meter(budget or Budget())
        try:
            stuck = Search(projected, specification, meter).run()
        except BudgetExceededError as error:
            unknown = unknown or Unknown(str(error), key)
            continue
        steps += meter.steps
        if stuck is not None:
            return _illegal(key, stuck, projected, specification)
    return unknown or Legal(steps)


def final_states(
    history: History | Iterable[Operation], model: Model[State], budget: Budget | None = None
) -> tuple[frozenset[State], tuple[Operation, ...]]:
    """Give every state that a legal order of the operations may lead to, and one such order; for models of one key.

    No state: no order is legal, and `check` says why. Raises `BudgetExceededError` if that could not be told in time.
    """
    recorded = history.operations if isinstance(history, History) else history
    operations = [operation for operation in in_order(recorded) if operation.outcome != "fail"]
    states, order = Search(operations, model.over(operations), Meter(budget or Budget())).finals()
    return cast("frozenset[State]", states), order


def _illegal(key: Key, stuck: Stuck, projected: Sequence[Operation], model: Model[Any]) -> Illegal:
    return Illegal(
        f"no order explains what {stuck.operation.client} was told by {stuck.operation.name}",
        key=key,
        prefix=stuck.prefix,
        stuck=stuck.operation,
        states=tuple(stuck.states),
        operations=tuple(projected),
        described=tuple(model.described(state) for state in stuck.states),
    )


def _by_key(operations: Sequence[Operation], model: Model[Any]) -> Iterable[tuple[Key, list[Operation]]]:
    parts: dict[Key, list[Operation]] = {}
    for operation in operations:
        for key in model.keys(operation):
            projected = model.project(operation, key)
            if projected is not None:
                parts.setdefault(key, []).append(projected)
    return parts.items()
