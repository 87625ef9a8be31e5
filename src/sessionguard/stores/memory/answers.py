"""What was answered to operations on many sessions, so that they can be answered again. Called with the mutex held."""

from collections.abc import Mapping

from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.records import REMEMBERED_US
from sessionguard.stores.memory.shelf import Row


@frozen
class _Answer:
    at_us: int
    session_ids: tuple[str, ...] = ()
    count: int = 0
    has_more: bool = False


class Answers:
    """Kept by operation id until they are old enough to be forgotten."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def ended(self, operation_id: str, rows: Mapping[str, Row]) -> c.Ended | None:
        """Give those whom this very operation ended before, as they are now; None if it was not done yet."""
        answer = self._answers.get(operation_id)
        if answer is None:
            return None
        known = (rows[session_id].record for session_id in answer.session_ids if session_id in rows)
        return c.Ended(tuple(known), answer.has_more)

    def purged(self, operation_id: str) -> c.Purged | None:
        """Give what this very operation was answered before; None if it was not done yet."""
        answer = self._answers.get(operation_id)
        return None if answer is None else c.Purged(answer.count, answer.has_more)

    def remember_ended(self, operation_id: str, ended: c.Ended, now_us: int) -> None:
        """Keep the answer to an operation that ended sessions."""
        session_ids = tuple(record.id for record in ended.records)
        self._answers[operation_id] = _Answer(now_us, session_ids, has_more=ended.has_more)

    def remember_purged(self, operation_id: str, purged: c.Purged, now_us: int) -> None:
        """Keep the answer to an operation that forgot sessions."""
        self._answers[operation_id] = _Answer(now_us, count=purged.count, has_more=purged.has_more)

    def forget(self, now_us: int) -> None:
        """Drop what was answered so long ago that nobody repeats it."""
        for operation_id, answer in list(self._answers.items()):
            if answer.at_us + REMEMBERED_US <= now_us:
                del self._answers[operation_id]
