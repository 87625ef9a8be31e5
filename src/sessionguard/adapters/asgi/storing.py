"""What happens as a response begins, or a handshake is answered: what was written is stored first."""

from collections.abc import Awaitable, Callable

from sessionguard.adapters.visits import AsyncVisit
from sessionguard.errors import SessionGuardError


async def is_stored(visit: AsyncVisit, answer: Callable[[SessionGuardError], Awaitable[bool]]) -> bool:
    """Store what the request wrote, and seal it; False if `answer` told the client instead why that could not be.

    An error that `answer` does not take for itself is raised: it is the program's fault.
    """
    if visit.flows.is_sealed:
        # An error page, after what was to be stored could not be.
        return True
    try:
        await visit.save()
    except SessionGuardError as error:
        # Before the answer: to it nothing is to be added.
        await visit.seal()
        if not await answer(error):
            raise
        return False
    finally:
        # However long it goes on from here, it does not keep the next request of the session waiting.
        await visit.seal()
    return True
