"""The register of planted bugs, and the gap: a place where a mutant lets others in, so that its race is certain."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

from attrs import frozen

from sessionguard.testing.contracts.capabilities import PER_PROCESS, Capabilities
from sessionguard.testing.model import ModelStore


@frozen
class Mutant:
    """A store with one planted bug."""

    name: str
    bug: str
    """What is wrong with it, in one line."""
    store: Callable[..., Any]
    caught_by: tuple[str, ...]
    """The cases that must fail; in every mode that the store can be played in, unless `modes` says which."""
    capabilities: Capabilities = PER_PROCESS
    modes: tuple[str, ...] | None = None


MUTANTS: Final[dict[str, Mutant]] = {}
"""Every planted bug by its name."""

Store = TypeVar("Store", bound=type)


def planted(
    *caught_by: str, capabilities: Capabilities = PER_PROCESS, modes: tuple[str, ...] | None = None
) -> Callable[[Store], Store]:
    """Enter the decorated store into the register; its docstring is the bug."""

    def enter(store: Store) -> Store:
        bug = " ".join((store.__doc__ or "").split())
        MUTANTS[store.__name__] = Mutant(store.__name__, bug, store, caught_by, capabilities, modes)
        return store

    return enter


class Gap(ModelStore):
    """A model that opens its lock in the middle of a command, where its planted bug is.

    Whoever is in the gap waits until another caller has done something or has come to the gap as well, so two
    callers that start together always meet there; if nobody comes, the wait is short and the bug does not show.
    """

    patience: ClassVar[float] = 0.5

    def __init__(self) -> None:
        super().__init__()
        self._events = 0
        self._inside = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold the lock for one command, and wake those in the gap after it."""
        with super().step():
            try:
                yield
            finally:
                self._happen()

    def gap(self, until: Callable[[], bool] | None = None) -> None:
        """Let others in, until one of them has acted or stands here, too, or until what is given is true."""
        self._happen()
        seen = self._events
        self._inside += 1
        self.lock.wait_for(until or (lambda: self._events != seen), timeout=self.patience)
        self._inside -= 1

    def await_gap(self) -> None:
        """Let others come to their gap first."""
        self.lock.wait_for(lambda: self._inside > 0, timeout=self.patience)

    def _happen(self) -> None:
        self._events += 1
        self.lock.notify_all()
