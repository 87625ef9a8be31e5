"""What the routes of the session protocol answer: JSON values that a mount only renders. A token is in none of them."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from attrs import field, frozen

from sessionguard.adapters.external.naming import Opened
from sessionguard.adapters.external.policies import Policy
from sessionguard.adapters.external.rules import ExternalIds
from sessionguard.adapters.http import answer_to
from sessionguard.core.session import Removed, Session
from sessionguard.errors import SessionGuardError


@frozen
class Reply:
    """One answer. Headers that concern the session are set as those of any other response are."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()


def opened(policy: Policy, found: Opened) -> Reply:
    """Tell of a session that was opened: `session_id` is what `?_sid=` has to carry from now on."""
    return Reply(201, {**_handle(policy, found.session), "removed": _removed(found.removed)})


def cleared(selected: str, ended: Session | None) -> Reply:
    """Tell what was removed with the session that `selected` selected; nothing, if there was none."""
    removed = Removed() if ended is None else ended.removed
    return Reply(200, {"session_id": selected, "cleared": ended is not None, "removed": _removed(removed)})


def debugged(ids: ExternalIds, current: Session | None, own: tuple[Session, ...]) -> Reply:
    """Show the current session, how far its work has come, and all sessions of the caller with their number."""
    workflow = None if current is None else _workflow(ids, current)
    return Reply(
        200,
        {
            "policy": ids.policy.name,
            "current_session": None if current is None else _shown(ids.policy, current),
            "workflow": workflow,
            "sessions": [_shown(ids.policy, session) for session in own],
            "total": len(own),
        },
    )


def refused(error: SessionGuardError) -> Reply:
    """Tell of `error` by the one table, and by its code; the rest is for the log."""
    told = answer_to(error)
    headers = () if told.retry_after_seconds is None else (("Retry-After", str(told.retry_after_seconds)),)
    return Reply(told.status, {"detail": HTTPStatus(told.status).phrase, "error": error.code}, headers)


def _workflow(ids: ExternalIds, session: Session) -> dict[str, Any]:
    status: dict[str, Any] = {"status": session.status, "version": session.version, "fields": sorted(session.data)}
    if ids.workflow is not None:
        status["progress"] = ids.workflow(session)
    return status


def _handle(policy: Policy, session: Session) -> dict[str, Any]:
    exposed = session.external_id if policy.expose_id == "external" else None
    return {
        "session_id": exposed or session.id,
        "external_id": session.external_id,
        "created_at": _text(session.created_at),
        "expires_at": _text(session.expires_at),
    }


def _shown(policy: Policy, session: Session) -> dict[str, Any]:
    return {
        **_handle(policy, session),
        "status": session.status,
        "last_seen_at": _text(session.last_seen_at),
        "version": session.version,
    }


def _removed(removed: Removed) -> dict[str, Any]:
    return {
        "files": removed.files,
        "bytes": removed.bytes,
        "deferred": removed.deferred,
        "failed": removed.failed,
    }


def _text(instant: datetime) -> str:
    return instant.isoformat()
