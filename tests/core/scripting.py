"""Stores that follow a script: they answer what a test says, and remember what they were asked."""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from sessionguard.core.commands import Command
from sessionguard.core.driving import Flow, perform

Reply = Any
VERBS = {"identify", "create", "get_or_create", "replace", "load", "get", "save", "touch", "rotate"}
VERBS |= {"end", "end_owner", "sweep", "purge", "page", "acquire_lock", "renew_lock", "release_lock"}
VERBS |= {"hold_lease", "release_lease", "leased_until"}


class ScriptedStore:
    """Gives the replies of its script in order; an exception in it is raised, a function is asked with the command."""

    name = "scripted"

    def __init__(self, *script: Reply) -> None:
        self.script = list(script)
        self.asked: list[Command[Any]] = []
        self.distrust_count = 0

    def __getattr__(self, verb: str) -> Callable[[Command[Any]], Any]:
        if verb not in VERBS:
            raise AttributeError(verb)
        return self._answer

    def _answer(self, command: Command[Any]) -> Any:
        self.asked.append(command)
        reply = self.script.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return reply(command) if callable(reply) else reply

    def distrust(self) -> None:
        """Count it."""
        self.distrust_count += 1


class AsyncScriptedStore(ScriptedStore):
    """The same, awaitable."""

    def __getattr__(self, verb: str) -> Callable[[Command[Any]], Any]:
        answer = super().__getattr__(verb)

        async def awaited(command: Command[Any]) -> Any:
            return answer(command)

        return awaited

    async def distrust(self) -> None:  # type: ignore[override]
        """Count it."""
        self.distrust_count += 1


@frozen
class Recorded:
    """A flow that asks what it is given to ask, and tells what came of it."""

    commands: tuple[Command[Any], ...]
    replies: list[Any]
    thrown: list[BaseException]
    closed: list[bool]

    def flow(self, *, catches: bool = False) -> Flow[str]:
        """Ask everything in order; with `catches`, go on after errors."""
        try:
            for command in self.commands:
                try:
                    self.replies.append((yield from perform(command)))
                except BaseException as error:
                    self.thrown.append(error)
                    if not catches or isinstance(error, GeneratorExit):
                        raise
            return "result"
        finally:
            self.closed.append(True)


def recorded(*commands: Command[Any]) -> Recorded:
    """Give a flow that asks `commands`."""
    return Recorded(commands, [], [], [])
