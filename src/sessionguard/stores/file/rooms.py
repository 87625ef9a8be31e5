"""The sessions of one owner that are counted, and ended, before one more is opened or receives that owner."""

from collections.abc import Iterator, Mapping

from attrs import field, frozen

from sessionguard.core.limits import ActiveLimit, endings_for_one_more, in_order
from sessionguard.core.records import SessionRecord
from sessionguard.core.tokens import shard_of
from sessionguard.stores.file.rows import Row
from sessionguard.stores.file.sessions import finish, row_of
from sessionguard.stores.file.views import Desk


@frozen
class Room:
    """The sessions of an owner, as the one call sees them that holds all their shards."""

    owner: str
    operation_id: str
    limit: ActiveLimit
    _ids: list[str] = field(alias="ids")
    _desks: Mapping[str, Desk] = field(alias="desks")

    def made(self, scope: str, but: Row | None, now_us: int) -> tuple[SessionRecord, ...] | None:
        """End whom the limit asks to end before one more is active in the scope; None: there may be no more."""
        rows = {row.record.id: row for row in self._rows() if row.record.scope == scope and row.record.reason is None}
        if but is not None:
            rows.pop(but.record.id, None)
        endings = endings_for_one_more(self.limit, [row.record for row in rows.values()], now_us)
        if endings is None:
            return None
        before = self.ended_before()
        return before + tuple(
            finish(self._desk(record.id), rows[record.id], reason, now_us, self.operation_id)
            for record, reason in endings
        )

    def ended_before(self) -> tuple[SessionRecord, ...]:
        """Give whom this very operation has ended before."""
        done = (row.record for row in self._rows() if self.operation_id in row.operations)
        return in_order(record for record in done if record.reason is not None)

    def _rows(self) -> Iterator[Row]:
        for session_id in self._ids:
            row = row_of(self._desk(session_id), session_id)
            if row is not None and row.record.owner == self.owner:
                yield row

    def _desk(self, session_id: str) -> Desk:
        return self._desks[shard_of(session_id)]
