"""A store that is watched: it counts what it is asked, and a test may step between a question and its answer."""

from collections.abc import Callable, Iterator
from typing import Any

from sessionguard.core.commands import Command

VERBS = {"identify", "create", "get_or_create", "replace", "load", "get", "save", "touch", "rotate"}
VERBS |= {"end", "end_owner", "sweep", "purge", "page", "acquire_lock", "renew_lock", "release_lock"}
VERBS |= {"hold_lease", "release_lease", "leased_until"}

Around = Callable[[Command[Any], Callable[[], Any]], Any]


class WatchedStore:
    """A blocking store in front of another; `around` gets each command and what asks it, and gives the reply."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.name: str = inner.name
        self.asked: list[Command[Any]] = []
        self.around: Around | None = None
        self.distrust_count = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        return self._ask if name in VERBS else method

    def _ask(self, command: Command[Any]) -> Any:
        self.asked.append(command)
        if self.around is None:
            return command.apply(self.inner)
        return self.around(command, lambda: command.apply(self.inner))

    def answer_inline(self, command: Command[Any]) -> Any:
        """Answer as the other store would, unless a test stands in between."""
        if self.around is not None:
            return None
        reply = self.inner.answer_inline(command)
        if reply is not None:
            self.asked.append(command)
        return reply

    def distrust(self) -> None:
        """Count it, and pass it on."""
        self.distrust_count += 1
        self.inner.distrust()

    def verbs(self) -> list[str]:
        """Give what was asked so far, in order, but for the name of the deployment."""
        return [command.verb for command in self.asked if command.verb != "identify"]

    def forget(self) -> None:
        """Count from here on."""
        self.asked.clear()


def replies_of(store: WatchedStore, verb: str, twist: Callable[[Any], Any]) -> None:
    """Make `store` give `twist(reply)` instead of each reply to `verb`."""

    def around(command: Command[Any], ask: Callable[[], Any]) -> Any:
        return twist(ask()) if command.verb == verb else ask()

    store.around = around


def before(store: WatchedStore, verb: str, actions: Iterator[Callable[[], object]]) -> None:
    """Run the next of `actions`, while there are any, before each `verb`; what it asks itself is not counted in."""
    inside = False

    def around(command: Command[Any], ask: Callable[[], Any]) -> Any:
        nonlocal inside
        if command.verb == verb and not inside:
            inside = True
            try:
                next(actions, lambda: None)()
            finally:
                inside = False
        return ask()

    store.around = around
