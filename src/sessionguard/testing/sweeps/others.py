"""The two others: whom the same client and pool has to serve rightly after an operation of a third was broken off."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from attrs import frozen

from sessionguard.errors import MisuseError

__tracebackhide__ = True

_FEWEST: Final = 2


@frozen
class Other:
    """Somebody with a key of their own, how the same client is asked for it, and the only right answer."""

    name: str
    ask: Callable[[], Any]
    """Gives the answer, or, for an async client, an awaitable of it."""
    answer: object

    async def ask_async(self) -> Any:
        """Ask, and await the answer if it has to be."""
        answer = self.ask()
        return await answer if isinstance(answer, Awaitable) else answer

    def judge(self, answer: object) -> None:
        """Return if the answer is the right one. Raises `CrossedReplyError` if it is not."""
        if answer != self.answer:
            raise CrossedReplyError(self.name, self.answer, answer)


class CrossedReplyError(AssertionError):
    """Somebody got another answer than the one to what they had asked."""

    def __init__(self, name: str, right: object, answer: object) -> None:
        self.name, self.right, self.answer = name, right, answer
        super().__init__(f"{name} read {answer!r} instead of {right!r}")

    def __reduce__(self) -> tuple[type["CrossedReplyError"], tuple[str, object, object]]:
        return type(self), (self.name, self.right, self.answer)


def checked(others: Sequence[Other]) -> tuple[Other, ...]:
    """Give them.

    Raises:
        MisuseError: they are not two with answers of their own, so that a reply that went astray would not be seen.
    """
    answers = [other.answer for other in others]
    if len(others) < _FEWEST or any(answer in answers[:number] for number, answer in enumerate(answers)):
        raise MisuseError(
            "give at least two others, each with an answer of its own; else a reply for somebody else is not seen"
        )
    return tuple(others)
