"""The search for a legal order of the operations on one key.

The algorithm is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993): try every operation that
was called before the first of the rest returned, and go on from there. Lowe ("Testing for Linearizability", 2017) adds
the memo: the same operations done, with the same state reached, need be explored once. Calls and returns stand in a
doubly linked list from which an operation is lifted and into which it is put back, as Horn and Kroening do
("Faster Linearizability Checking via P-Compositionality", 2015).

A specification may allow several states; the search goes on with the set of all of them, so that a choice
costs no branch of its own. What only reads, and may come next, is put there at once: whatever order has it later is as
legal with it here, so there is nothing to try instead.
"""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

from attrs import frozen

from sessionguard.testing.history.model import Model
from sessionguard.testing.history.operations import Operation

States = frozenset[Hashable]

_LOOKS_AT_THE_CLOCK_EVERY: Final = 256


@frozen
class Budget:
    """How much the check of one key may cost before it is given up."""

    seconds: float = 2.0
    steps: int = 3_000_000


class BudgetExceededError(Exception):
    """The search was given up; the message says why."""


class Meter:
    """Counts steps against a budget."""

    def __init__(self, budget: Budget, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.steps = 0
        self._budget, self._monotonic = budget, monotonic
        self._began = monotonic()

    def count(self) -> None:
        """Count one step; raises `BudgetExceededError` when there are too many."""
        self.steps += 1
        if self.steps > self._budget.steps:
            raise BudgetExceededError(f"no verdict after {self._budget.steps} steps")
        if self.steps % _LOOKS_AT_THE_CLOCK_EVERY == 0 and self._monotonic() - self._began > self._budget.seconds:
            raise BudgetExceededError(f"no verdict after {self._budget.seconds} s and {self.steps} steps")


@frozen
class Stuck:
    """The end of the longest order that is legal."""

    prefix: tuple[Operation, ...]
    operation: Operation
    states: States


class _Node:
    """A call or a return in the list; a call knows its return."""

    __slots__ = ("bit", "is_call", "next", "only_reads", "operation", "place", "previous", "ret")

    def __init__(self, operation: Operation | None, is_call: bool) -> None:
        self.operation: Any = operation
        self.is_call = is_call
        self.previous: Any = None
        self.next: Any = None
        self.ret: _Node | None = None
        self.only_reads = False
        self.bit = 0
        self.place = 0


def _lift(node: _Node) -> None:
    node.previous.next = node.next
    if node.next is not None:
        node.next.previous = node.previous


def _put_back(node: _Node) -> None:
    node.previous.next = node
    if node.next is not None:
        node.next.previous = node


class Search:
    """One search, to be asked once: whether there is a legal order, or to which states all of them lead."""

    def __init__(
        self,
        operations: Sequence[Operation],
        model: Model[Any],
        meter: Meter,
    ) -> None:
        self._step, self._meter = model.step, meter
        self._states: States = frozenset(model.initials())
        self._mask = 0
        self._head, self._unknown, self._left = _linked(operations, model.only_reads)
        self._lifted: list[tuple[_Node, States]] = []
        self._stuck: Stuck | None = None
        self._steps: dict[tuple[int, States], States] = {}
        self._sets: dict[States, States] = {self._states: self._states}

    def run(self) -> Stuck | None:
        """Give None if there is a legal order, or how far the longest one came. Raises `BudgetExceededError`."""
        return self._stuck if next(self._ends(), None) is None else None

    def finals(self) -> tuple[States, tuple[Operation, ...]]:
        """Give every state that a legal order may lead to, and one such order; no state: there is none.

        What is unknown may have happened or not. Raises `BudgetExceededError`.
        """
        found: set[Hashable] = set()
        order: tuple[Operation, ...] = ()
        for states in self._ends():
            order = order or tuple(node.operation for node, _ in self._lifted)
            found |= self._with_unknown(states)
        return frozenset(found), order

    def _with_unknown(self, states: States) -> States:
        """Give these states, and those after any of what may still happen, in any order."""
        seen, new = {(self._mask, state) for state in states}, [(self._mask, state) for state in states]
        while new:
            mask, state = new.pop()
            for node in self._unknown:
                if mask & node.bit:
                    continue
                self._meter.count()
                after = {(mask | node.bit, each) for each in self._step(state, node.operation)} - seen
                seen |= after
                new.extend(after)
        return frozenset(state for _, state in seen)

    def _ends(self) -> Iterator[States]:
        """Search; give the states whenever all that is certain was put in order."""
        seen: set[tuple[int, States]] = set()
        levels = [self._level()]
        while levels:
            if not self._left:
                yield self._states
            for node in levels[-1][1]:
                states = self._after(node)
                if not states or (self._mask | node.bit, states) in seen:
                    continue
                if node.ret is None and states == self._states:
                    continue  # Doing nothing is as good as not being done.
                seen.add((self._mask | node.bit, states))
                depth = len(self._lifted)
                self._take(node, states)
                levels.append(self._level(depth))
                break
            else:
                if self._left:
                    self._note_stuck()
                depth, _ = levels.pop()
                while len(self._lifted) > depth:
                    self._give_back()

    def _level(self, depth: int = 0) -> tuple[int, Iterator[_Node]]:
        """Take all reads that may come next, and give what may come after them and to where that is undone."""
        node = self._head.next
        while node is not None and node.is_call:
            after = node.next
            if node.only_reads and self._after(node) == self._states:
                self._take(node, self._states)
                # Its return is gone, too; what stood behind that may come next now.
                after = node.ret.next if after is node.ret else after
            node = after
        return depth, self._candidates() if self._left else iter(())

    def _candidates(self) -> Iterator[_Node]:
        """Give what may come next: called before the first of the rest returned, the certain ones first."""
        node = self._head.next
        while node.is_call:
            yield node
            node = node.next
        for unknown in self._unknown:
            if unknown.place > node.place:
                return
            if not self._mask & unknown.bit:
                yield unknown

    def _after(self, node: _Node) -> States:
        self._meter.count()
        asked = node.place, self._states
        after = self._steps.get(asked)
        if after is None:
            operation = node.operation
            after = frozenset(each for state in self._states for each in self._step(state, operation))
            # Equal sets are one and the same, so that comparing them costs nothing.
            after = self._steps[asked] = self._sets.setdefault(after, after)
        return after

    def _take(self, node: _Node, states: States) -> None:
        self._lifted.append((node, self._states))
        self._states = states
        self._mask |= node.bit
        if node.ret is not None:
            _lift(node)
            _lift(node.ret)
            self._left -= 1

    def _give_back(self) -> None:
        node, self._states = self._lifted.pop()
        self._mask ^= node.bit
        if node.ret is not None:
            _put_back(node.ret)
            _put_back(node)
            self._left += 1

    def _note_stuck(self) -> None:
        if self._stuck is not None and len(self._stuck.prefix) >= len(self._lifted):
            return
        node = self._head.next
        while node.is_call:
            node = node.next
        prefix = tuple(lifted.operation for lifted, _ in self._lifted)
        self._stuck = Stuck(prefix, node.operation, self._states)


def _linked(operations: Sequence[Operation], only_reads: Callable[[Operation], bool]) -> tuple[_Node, list[_Node], int]:
    """Give the head of the list, the calls that may never return, and how many returns there are."""
    events: list[tuple[int, int, _Node]] = []
    unknown: list[_Node] = []
    for number, operation in enumerate(operations):
        call = _Node(operation, True)
        call.bit = 1 << number
        # Intervals are closed: at the same instant calls stand before returns, so that neither comes first for sure.
        events.append((operation.call, 0, call))
        if operation.ret is None:
            unknown.append(call)
        else:
            call.ret = _Node(operation, False)
            call.only_reads = only_reads(operation)
            events.append((operation.ret, 1, call.ret))
    events.sort(key=lambda event: event[:2])
    head = last = _Node(None, False)
    for place, (_, _, node) in enumerate(events):
        node.place = place
        if not node.is_call or node.ret is not None:
            last.next, node.previous, last = node, last, node
    unknown.sort(key=lambda node: node.place)
    return head, unknown, len(operations) - len(unknown)
