"""What an application wants done when a session has ended: called when its record has and its files were dealt with."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, Final

from attrs import frozen

from sessionguard.core.commands import Command
from sessionguard.core.session import Session
from sessionguard.errors import InvalidArgumentError

# inspect.CO_COROUTINE; inspect itself reads files, which core does not.
_IS_COROUTINE: Final = 0x80

Hook = Callable[[Session], object]
AsyncHook = Callable[[Session], Awaitable[object] | object]


class Hooks:
    """The functions of a blocking guard, called one after the other. One that fails hinders nobody."""

    def __init__(self, on_failure: Callable[[Any, Exception], object]) -> None:
        self._on_failure = on_failure
        self._functions: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self._functions)

    def add(self, function: Any) -> Callable[[], None]:
        """Call `function` with each session that ends from now on; gives a function that ends it."""
        if not callable(function) or not self._can_call(function):
            remedy = "give a function of one argument, the ended Session; an async one needs AsyncSessionGuard"
            raise InvalidArgumentError("function", function, remedy)
        self._functions.append(function)

        def remove() -> None:
            with suppress(ValueError):
                self._functions.remove(function)

        return remove

    def _can_call(self, function: Any) -> bool:
        code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
        return code is None or not code.co_flags & _IS_COROUTINE

    def call(self, session: Session) -> Any:
        """Call them all."""
        for function in tuple(self._functions):
            try:
                function(session)
            except Exception as error:
                self._on_failure(function, error)


class AsyncHooks(Hooks):
    """The same for an async guard; what they give is awaited, if it can be."""

    def _can_call(self, function: Any) -> bool:
        return True

    async def call(self, session: Session) -> Any:
        """Call and await them all, one after the other."""
        for function in tuple(self._functions):
            try:
                given = function(session)
                if isinstance(given, Awaitable):
                    await given
            except Exception as error:
                self._on_failure(function, error)


@frozen
class CallHooks(Command[None]):
    """Let the application do what it wants when this session has ended. Not a question to a store."""

    verb: ClassVar[str] = "on_end"
    hooks: Hooks
    session: Session

    def apply(self, store: Any) -> Any:
        return self.hooks.call(self.session)
