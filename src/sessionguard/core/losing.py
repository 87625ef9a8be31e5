"""Noticing that a store has lost sessions that it acknowledged: the generations of a slot only ever grow.

A process remembers the newest session that it has seen in each of its latest slots. If a call that began after that was
seen meets an older generation, or another session with the same one, the store has gone back behind it.
"""

from typing import Final

from sessionguard.core.records import SessionRecord

_REMEMBERED_SLOTS: Final = 4096

Slot = tuple[str, str, str | None]
Mark = tuple[int, str]
"""Generation and session id."""


class Marks:
    """The newest session seen in each of the latest slots. Threads may share it; it may remember too little."""

    def __init__(self) -> None:
        self._marks: dict[Slot, Mark] = {}

    def seen(self, slot: Slot) -> Mark | None:
        """Give what was seen before a call about `slot` begins."""
        return self._marks.get(slot)

    def note(self, record: SessionRecord) -> None:
        """Remember an exclusive session that the store has acknowledged."""
        slot, mark = (record.scope, record.owner, record.external_id), (record.generation, record.id)
        # Taken out first, so that the slots stand in the order in which they were seen last.
        former = self._marks.pop(slot, mark)
        self._marks[slot] = max(former, mark)
        if len(self._marks) > _REMEMBERED_SLOTS:
            self._marks.pop(next(iter(self._marks)), None)

    def forget(self, slot: Slot) -> None:
        """Begin anew with `slot`: what was seen is lost and has been told."""
        self._marks.pop(slot, None)


def lost_session(before: Mark | None, record: SessionRecord) -> str | None:
    """Give the session that the store has lost, if `record` cannot come after what was seen `before` the call."""
    if before is None or not record.exclusive:
        return None
    generation, session_id = before
    if record.id == session_id or record.generation > generation:
        return None
    return session_id
