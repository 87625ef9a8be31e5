"""What a specification is: states, and what each operation makes of them."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from sessionguard.testing.history.operations import Operation

State = TypeVar("State", bound=Hashable)
Key = Hashable


@frozen
class Objection:
    """Why a history cannot be right, and the operations that show it."""

    reason: str
    witnesses: tuple[Operation, ...] = ()


class Model(Generic[State]):
    """A sequential specification. States are hashable and never changed.

    Operations on different keys do not touch each other, so each key is checked by itself; that is what makes long
    histories checkable (Herlihy and Wing 1990, locality; Horn and Kroening 2015, P-compositionality).
    """

    def initial(self) -> State:
        """Give the state of every key at the beginning."""
        raise NotImplementedError

    def initials(self) -> Iterable[State]:
        """Give all states that every key may be in at the beginning, if that is not one for certain."""
        return (self.initial(),)

    def step(self, state: State, operation: Operation) -> Iterable[State]:
        """Give every state that `operation`, with the result it had, may lead to from `state`; none: it cannot be.

        The result of an operation whose outcome is "info" is not known: give what its effect may be.
        """
        raise NotImplementedError

    def only_reads(self, operation: Operation) -> bool:
        """Tell whether `step`, with the result it had, gives no state but the one it was given, whichever that is.

        It may refuse it, or give a state in which less is left open. Saying True spares the search most of its work.
        """
        return False

    def keys(self, operation: Operation) -> Iterable[Key]:
        """Give the keys that it touches; by default everything is one key."""
        return (None,)

    def project(self, operation: Operation, key: Key) -> Operation | None:
        """Give what the operation does to one of its keys, or None if that needs no checking."""
        return operation

    def over(self, operations: Sequence[Operation]) -> "Model[State]":
        """Give the specification for this history, for models that must see all of it to tell its keys."""
        return self

    def objections(self, operations: Sequence[Operation]) -> Iterable[Objection]:
        """Give what cannot be right in whatever order it happened, found without any search."""
        return ()

    def described(self, state: State) -> str:
        """Give a state as text for the report."""
        return repr(state)
