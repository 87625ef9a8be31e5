"""Repeating a command whose outcome is unknown: for how long, how often, and what is reported in the end.

This is the only place where that is decided, for every verb and every store. It is safe because a repeated
command has one effect and gets the first answer.
"""

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field, frozen

from sessionguard.core.commands import Command
from sessionguard.core.retrying import delays
from sessionguard.core.tokens import RandomBytes
from sessionguard.errors import IdentityMismatchError, SessionGuardError, StoreUnavailableError


@frozen
class Patience:
    """How long the calls of a guard go on asking a store that does not answer."""

    seconds: float
    monotonic: Callable[[], float]
    random_bytes: RandomBytes
    tell: Callable[[Command[Any], StoreUnavailableError], object]
    """Told of every repetition before it is made."""


@define
class Repetitions:
    """The repetitions of one command. `began` is the instant, of the monotonic clock, at which it was first asked."""

    _patience: Patience
    _began: float
    command: Command[Any]
    first: StoreUnavailableError
    _delays: Iterator[float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._delays = delays(self._patience.random_bytes)

    def pause_after(self, error: SessionGuardError) -> float:
        """Give the seconds to wait before asking again, or raise what the caller is to hear."""
        try:
            if isinstance(error, IdentityMismatchError):
                raise error
            if not isinstance(error, StoreUnavailableError):
                # Whatever hindered the repetition, a closed store too: what the first time did is as unknown as before.
                raise self.first from error
            if not error.transient:
                raise error
            delay = next(self._delays)
            if self._patience.monotonic() + delay >= self._began + self._patience.seconds:
                raise error
            self._patience.tell(self.command, error)
            return delay
        finally:
            # An error keeps the frames that it came through. If these keep the error, all of them live on until garbage
            # is collected, and with them what they had in hand, such as a connection.
            del self, error
