"""An error of the driver or the system, with what it came from: only what arose while the server was being met."""

import sys
from collections.abc import Iterator
from typing import Final, Self, TypeVar

from attrs import frozen

E = TypeVar("E", bound=BaseException)

being_handled: Final = sys.exception
"""Give the error that the caller is handling now. Python hangs whatever is raised meanwhile onto it."""


@frozen
class Failure:
    """An error, and all that it came from, itself first."""

    error: BaseException
    origins: tuple[BaseException, ...]

    @classmethod
    def since(cls, before: BaseException | None, error: BaseException) -> Self:
        """Give an error without what the caller was handling `before`, which is no reason for it."""
        return cls(error, tuple(_origins(error, before)))

    def first(self, kind: type[E]) -> E | None:
        """Give the error of this kind that it came from, or is."""
        return next((one for one in self.origins if isinstance(one, kind)), None)

    @property
    def reason(self) -> str:
        """What the system says, or else the driver."""
        origin = self.first(OSError)
        return str(self.error if origin is None or not origin.strerror else origin.strerror)


def _origins(error: BaseException, before: BaseException | None) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None and current is not before:
        yield current
        current = current.__cause__ or current.__context__
