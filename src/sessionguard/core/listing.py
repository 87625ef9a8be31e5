"""The flow behind `sessions`: one page at a time, so that no listing holds a store for long."""

from typing import Final

from sessionguard.core import commands as c
from sessionguard.core.arguments import valid_text
from sessionguard.core.driving import Flow, perform
from sessionguard.core.session import Session
from sessionguard.core.setting import Setting
from sessionguard.errors import InvalidArgumentError

_PAGE: Final = 200


def list_page(
    setting: Setting, scope: str | None, owner: str | None, status: c.Status | None, cursor: str | None
) -> Flow[tuple[list[Session], str | None]]:
    """Give the sessions of one page and where the next begins."""
    if scope is not None:
        valid_text("scope", scope)
    if owner is not None:
        valid_text("owner", owner)
    if status not in ("active", "ended", None):
        raise InvalidArgumentError("status", status, 'give "active", "ended", or None for both')
    page = yield from perform(c.Page(scope, owner, status, _PAGE, cursor, setting.at()))
    return [Session(record) for record in page.records], page.cursor
