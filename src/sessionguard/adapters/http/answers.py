"""How errors of the library are told to HTTP clients."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from sessionguard import errors
from sessionguard.errors import SessionGuardError


@frozen
class Answer:
    """How an error is told to a client: nothing but a status, and when to try again."""

    status: int
    retry_after_seconds: int | None = None


_FAULT: Final = Answer(500)

ANSWERS: Final[Mapping[type[SessionGuardError], Answer]] = MappingProxyType(
    {
        # An outage is not "nobody": a visitor who was told so would open a second session.
        errors.StoreUnavailableError: Answer(503, retry_after_seconds=5),
        errors.StoreTimeoutError: Answer(503, retry_after_seconds=1),
        errors.WorkspaceUnavailableError: Answer(503, retry_after_seconds=5),
        errors.LockTimeoutError: Answer(503, retry_after_seconds=1),
        errors.LockLostError: Answer(503, retry_after_seconds=1),
        errors.SessionEndedError: Answer(409),
        errors.SessionConflictError: Answer(409),
        errors.SessionLimitError: Answer(409),
        errors.SessionMismatchError: Answer(409),
        errors.LeaseLostError: Answer(409),
        errors.ExternalIdClaimedError: Answer(409),
        errors.ExternalIdUnknownError: Answer(404),
        errors.ExternalIdRefusedError: Answer(403),
        errors.CrossSiteError: Answer(403),
        errors.SessionTooLargeError: Answer(413),
        errors.QuotaExceededError: Answer(413),
        errors.PathEscapeError: Answer(400),
        errors.ArchiveRefusedError: Answer(400),
        errors.InvalidArgumentError: Answer(400),
    }
)
"""The one table from errors to statuses. What is not in it is the program's or the store's fault: 500."""


def answer_to(error: SessionGuardError) -> Answer:
    """Give how `error`, or the nearest of its base classes in the table, is told to a client."""
    return next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), _FAULT)
