"""What operations on many sessions were answered, so that a repeated one does nothing and answers the same."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from attrs import frozen

from sessionguard.core.records import REMEMBERED_US, SessionRecord
from sessionguard.errors import StoreDataError
from sessionguard.stores.file.folder import Folder
from sessionguard.stores.file.timelines import Timeline
from sessionguard.stores.file.views import Desk, View

SHARD: Final = "operations"
"""Where clean-ups of the whole store take turns and log what they did. Locked before any other shard."""

_LOGGED: Final = Timeline("logged")
_REMOVED_AT_ONCE: Final = 1000


@frozen
class Answer:
    """What an operation was answered."""

    ended: tuple[str, ...]
    """The ids of the sessions that it ended, in order."""
    count: int
    has_more: bool


def answer_of(records: Sequence[SessionRecord]) -> Answer:
    """Give the answer that tells of these sessions, and of no more."""
    return Answer(tuple(record.id for record in records), len(records), False)


def recall(view: View, operation_id: str) -> Answer | None:
    """Give what this operation was answered, if it was done before."""
    text = view.file(_path(_key(operation_id)))
    if text is None:
        return None
    try:
        ended, count, has_more = json.loads(text)
        return Answer(tuple(ended), int(count), bool(has_more))
    except (ValueError, TypeError) as error:
        raise StoreDataError("file", "read", "the log of operations is damaged; remove its folder") from error


def remember(desk: Desk, operation_id: str, answer: Answer, now_us: int) -> None:
    """Log what an operation is answered, together with what it does in this shard."""
    key = _key(operation_id)
    desk.put(_path(key), json.dumps([answer.ended, answer.count, answer.has_more]).encode())
    desk.point(_LOGGED.path(now_us, key), key)


def remove_old(folder: Folder, now_us: int) -> None:
    """Forget answers for which nobody can ask any more."""
    old = _LOGGED.until(folder.descriptor, now_us - REMEMBERED_US)
    for (instant_us, key), _ in zip(old, range(_REMOVED_AT_ONCE), strict=False):
        # The entry last: what is interrupted between goes on from it.
        for path in (_path(key), _LOGGED.path(instant_us, key)):
            with suppress(FileNotFoundError):
                os.unlink(path, dir_fd=folder.descriptor)


def _key(operation_id: str) -> str:
    return hashlib.blake2b(operation_id.encode(), digest_size=16).hexdigest()


def _path(key: str) -> str:
    return f"{SHARD}/{key[:2]}/{key}.json"
