"""Whether code comes to anything that the io engine stops at."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from sessionguard.testing.schedule.io.engine import IoPoints
from sessionguard.testing.schedule.io.listening import Access, listening
from sessionguard.testing.schedule.io.naming import Place


class Heard:
    """The accesses of a block, of whoever makes them."""

    can_stop = False

    def __init__(self) -> None:
        self.blocking: list[Access] = []
        """Those at which a thread can be stopped."""
        self.awaited: list[Access] = []
        """Those at which a task can."""

    def is_mine(self) -> bool:
        """Whether it is told of what the caller does: of everything."""
        return True

    def place(self, name: Hashable) -> Place:
        """Give a place; which one does not matter here."""
        return Place(0, name)

    def reach(self, access: Access) -> None:
        """Be told of an access."""
        self.blocking.append(access)

    async def areach(self, access: Access) -> None:
        """Be told of one in a coroutine."""
        self.awaited.append(access)

    def note(self, access: Access) -> None:
        """Let what nobody can be stopped at pass."""

    def wait(self, label: str, is_over: Callable[[], bool], *, may_give_up: bool = True) -> bool:
        """Wait for nobody: there are no others."""
        return False

    def wait_for_others(self, label: str) -> bool:
        """Wait for nobody."""
        return False

    def sleep(self) -> None:
        """Let time pass at once."""

    def has_polled(self, resource: Hashable) -> bool:
        """Whether the caller has asked for the same before; that does not matter here."""
        return False


@contextmanager
def seen() -> Iterator[None]:
    """Let what is made within the block, such as a connection, be one whose accesses can be told later."""
    io = IoPoints(is_on=True)
    try:
        with io.installed():
            yield
    finally:
        io.close()


@contextmanager
def hearing() -> Iterator[Heard]:
    """Hear the accesses within the block, to what is opened within `seen`, by any thread."""
    heard = Heard()
    with listening(heard):
        yield heard
