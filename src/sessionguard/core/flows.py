"""What each call of a guard does: checks its arguments, asks the store, judges the reply, says what happened.

Each flow is written once and driven blocking or async. A flow assumes nothing between two commands.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sessionguard.core import commands as c
from sessionguard.core import events as e
from sessionguard.core.arguments import is_session_id, valid_external_id, valid_name, valid_text
from sessionguard.core.data import EMPTY, difference, encode_data, encode_fields, field_names, size_bytes
from sessionguard.core.driving import Flow, perform
from sessionguard.core.file_commands import OpenWorkspaces
from sessionguard.core.instants import to_us
from sessionguard.core.leases import lost
from sessionguard.core.lifecycle import LIMIT_REASON, REPLACED_REASON, Outcome, touch_is_due
from sessionguard.core.locking import HeldLock, fence_of
from sessionguard.core.losing import Mark, Marks, Slot, lost_session
from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.core.removing import clear_up_after, keep_apart
from sessionguard.core.reports import Tally
from sessionguard.core.retrying import delays
from sessionguard.core.session import Session, is_in_grace, private_copy, record_of, with_removed
from sessionguard.core.setting import Setting, valid_session
from sessionguard.core.tokens import Minted, is_anonymous, parse_token
from sessionguard.core.visitors import ended_reason, is_taken, visitor_of
from sessionguard.errors import (
    InvalidArgumentError,
    LeaseLostError,
    MisuseError,
    SessionConflictError,
    SessionEndedError,
    SessionLimitError,
    SessionTooLargeError,
)

Modifier = Callable[[dict[str, Any]], Mapping[str, Any] | None]

_MODIFY_BOUND_SECONDS: Final = 10.0
# Versions count single saves; engines hold them in 64 bits.
_NO_VERSION: Final = 2**62

_Opening = c.Create | c.GetOrCreate | c.Replace


class SessionFlows:
    """The flows about one session at a time."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._policies = setting.policies
        self._bus = setting.bus
        self._mint = setting.mint
        self._marks = Marks()
        self._deployment_id: str | None = None

    def deployment_id(self) -> Flow[str]:
        """Give the id that all users of this store share; the store is asked once."""
        return self._deployment_id or (yield from self._identify())

    def forget_deployment(self) -> None:
        """Ask the store anew at the next need: in a forked child it may be another one."""
        self._deployment_id = None

    def open_workspaces(self) -> Flow[str]:
        """Open the workspaces of the deployment that the store is now, and give its id."""
        deployment_id = yield from self._identify()
        yield from perform(OpenWorkspaces(deployment_id))
        return deployment_id

    def require_still_meant(self, session: Session) -> Flow[None]:
        """Raise `SessionEndedError` if a visitor's session has received its owner since the caller knew it.

        For who holds it: nothing else is asked with its files open. About a named owner's it asks nothing.
        """
        meant = record_of(session)
        if visitor_of(meant) is None:
            return
        record = yield from perform(c.Get(session.id, self._setting.at()))
        if record is not None and is_taken(record, meant):
            raise self._over(session, "workspace", ended_reason(record, meant))

    def _identify(self) -> Flow[str]:
        self._deployment_id = found = yield from perform(c.Identify())
        return found

    # Opening

    def open(
        self, kind: type[_Opening], owner: object, scope: str, data: object, external_id: str | None
    ) -> Flow[Session]:
        """Open a session, or find that of the slot: as `kind` says. Only `Create` takes None for the owner."""
        if owner is None and kind is c.Create:
            owner = self._mint.anonymous_owner()
        owner = valid_text("owner", owner)
        rules = self._policies.rules(valid_text("scope", scope))
        if external_id is not None:
            valid_external_id(external_id)
        text = EMPTY if data is None else encode_data(data, max_depth=rules.policy.max_data_depth)
        minted = self._mint.new(self._deployment_id or (yield from self.deployment_id()), owner)
        limit = rules.policy.max_data_bytes
        if len(text) * 4 > limit and size_bytes(text) > limit:
            raise SessionTooLargeError(minted.session_id, limit, size_bytes(text))
        new = NewSession(minted.session_id, scope, owner, external_id, minted.token_hash, text, rules.lifetime)
        slot = (scope, owner, external_id)
        before = self._marks.seen(slot) if self._setting.may_forget and kind is not c.Create else None
        opened: c.Opened = yield kind(new, self._setting.at(), new.id, at_most=rules.at_most)
        if opened.is_refused:
            raise self._refused(minted.session_id, scope)
        if self._setting.may_forget and opened.record.exclusive:
            yield from self._note_generation(slot, before, opened.record)
        # Told before anything is removed: events come in the order in which things happened.
        session = self._opened(kind.verb, opened, minted)
        return (yield from self._with_cleared_up(session, opened.ended))

    def _with_cleared_up(self, session: Session, ended: tuple[SessionRecord, ...]) -> Flow[Session]:
        """Remove what belonged to those that ended as `session` opened or received its owner."""
        tally = Tally()
        for former in ended:
            session = with_removed(session, (yield from clear_up_after(self._setting, former, tally)))
        return session

    def _refused(self, session_id: str, scope: str) -> SessionLimitError:
        return SessionLimitError(session_id, self._policies.rules(scope).policy.max_active or 0, scope)

    def _note_generation(self, slot: Slot, before: Mark | None, record: SessionRecord) -> Flow[None]:
        lost = lost_session(before, record)
        if lost is not None:
            self._marks.forget(slot)
            yield from keep_apart(self._setting, lost)
            self._bus.publish(e.SessionLost(lost))
        self._marks.note(record)

    def _opened(self, verb: str, opened: c.Opened, minted: Minted) -> Session:
        record = opened.record
        is_new = record.token_hash == minted.token_hash
        if record.reason is not None:
            # Only the repetition of a lost call can meet this: what it opened has ended since.
            raise SessionEndedError(record.id, record.reason)
        if self._bus.subscribers:
            self._tell_opened(verb, opened, is_new)
        return Session(record, token=minted.token if is_new else None, is_new=is_new)

    def _tell_opened(self, verb: str, opened: c.Opened, is_new: bool) -> None:
        record = opened.record
        self._tell_ended(opened.ended, record.id)
        if is_new:
            self._bus.publish(e.SessionCreated(record.id, record.scope, record.owner, verb, record.external_id))
        else:
            self._bus.publish(e.SessionReused(record.id, record.scope, record.owner, record.external_id))
        if opened.touched:
            self._bus.publish(e.SessionTouched(record.id, record.scope, record.owner))

    def _tell_ended(self, ended: tuple[SessionRecord, ...], successor_id: str) -> None:
        for former in ended:
            about = (former.id, former.scope, former.owner)
            if former.reason == REPLACED_REASON:
                self._bus.publish(e.SessionReplaced(*about, successor_id))
            elif former.reason == LIMIT_REASON:
                self._bus.publish(e.SessionEnded(*about, LIMIT_REASON))
            else:
                self._bus.publish(e.SessionExpired(*about))

    # Reading

    def load(self, token: object, scope: str | None, extend: bool = True) -> Flow[Session | None]:
        """Give the active session of `token`, or None."""
        if not isinstance(extend, bool):
            raise InvalidArgumentError("extend", extend, "give True or False")
        if scope is not None:
            valid_text("scope", scope)
        token_hash = self._mint.hash_of(token)
        if token_hash is None:
            self._bus.publish(e.TokenRejected("malformed" if parse_token(token) is None else "unknown key", None))
            return None
        loaded: c.Loaded = yield c.Load(token_hash, scope, self._setting.at(), "", extend)
        record = loaded.record
        if record is None:
            self._bus.publish(e.TokenRejected(loaded.refusal or "unknown", loaded.refused_id))
            return None
        if loaded.touched:
            self._bus.publish(e.SessionTouched(record.id, record.scope, record.owner))
        return Session(record, in_grace=record.token_hash != token_hash)

    def get(self, session_id: object) -> Flow[Session | None]:
        """Give the session with this id, active or ended, or None."""
        if not is_session_id(session_id):
            return None
        record = yield from perform(c.Get(str(session_id), self._setting.at()))
        return None if record is None else Session(record)

    # Changing

    def save(
        self,
        session: Session,
        changes: object,
        remove: object,
        expected_version: int | None,
        lock: HeldLock | None = None,
    ) -> Flow[Session]:
        """Change and remove top-level fields."""
        meant = record_of(valid_session(session))
        policy = self._policies.rules(meant.scope).policy
        fields = encode_fields(changes, max_depth=policy.max_data_depth, argument="changes")
        removed = field_names("remove", remove)
        both = fields.keys() & removed
        if both:
            raise InvalidArgumentError("remove", sorted(both)[0], "a field is either changed or removed, not both")
        if expected_version is not None and not _is_version(expected_version):
            raise InvalidArgumentError("expected_version", expected_version, "give the version of a Session")
        fence, limit = fence_of(lock, session), policy.max_data_bytes
        reply = yield from self._ask_save(meant, fields, removed, expected_version, limit, fence)
        record = self._changed(session, "save", reply)
        if reply.outcome is Outcome.CONFLICT:
            raise SessionConflictError(record.id, expected_version or 0, record.version)
        return self._saved(session, record, len(fields), len(removed))

    def _ask_save(
        self,
        meant: SessionRecord,
        fields: Mapping[str, str],
        removed: tuple[str, ...],
        expected_version: int | None,
        limit: int,
        fence: c.Fence | None,
    ) -> Flow[c.Changed]:
        operation = self._mint.operation_id()
        at = self._setting.at()
        save = c.Save(meant.id, at, operation, fields, removed, expected_version, limit, meant=meant, fence=fence)
        reply: c.Changed = yield save
        if reply.outcome is Outcome.FENCED and fence is not None:
            error = lost(meant.id, fence)
            self._bus.publish(
                e.LeaseLost(meant.id, fence.number, error.reason)
                if isinstance(error, LeaseLostError)
                else e.LockLost(meant.id, fence.name, fence.number)
            )
            raise error
        if reply.outcome is Outcome.TOO_LARGE:
            raise SessionTooLargeError(meant.id, limit, reply.size_bytes)
        if reply.outcome is Outcome.CONFLICT and reply.record is not None and self._bus.subscribers:
            about = (meant.id, meant.scope, meant.owner)
            self._bus.publish(e.SaveConflicted(*about, expected_version or 0, reply.record.version))
        return reply

    def _saved(self, session: Session, record: SessionRecord, changed: int, removed: int) -> Session:
        if self._bus.subscribers and changed + removed:
            about = (record.id, record.scope, record.owner)
            self._bus.publish(e.SessionSaved(*about, record.version, changed, removed))
        return _seen_anew(session, record)

    def modify(self, session: Session, function: Modifier, lock: HeldLock | None = None) -> Flow[Session]:
        """Read, let `function` change, and write if no one else wrote meanwhile; again until it succeeds."""
        policy = self._policies.rules(valid_session(session).scope).policy
        current = session
        deadline = self._setting.monotonic() + _MODIFY_BOUND_SECONDS
        for delay in delays(self._mint.random_bytes):
            before, after = private_copy(current), private_copy(current)
            parts = list(after.values())
            returned = function(after)
            if any(returned is part for part in (*parts, *after.values()) if returned is not None):
                # A lambda whose last call happens to return a field would silently replace all the others by it.
                raise InvalidArgumentError(
                    "function", type(returned).__name__, "it returned a part of the data; return None, or all of it"
                )
            changes, removed = difference(before, after if returned is None else returned)
            fields = encode_fields(changes, max_depth=policy.max_data_depth, argument="function")
            fence, limit = fence_of(lock, session), policy.max_data_bytes
            reply = yield from self._ask_save(record_of(session), fields, removed, current.version, limit, fence)
            record = self._changed(session, "modify", reply)
            if reply.outcome is Outcome.DONE:
                return self._saved(session, record, len(fields), len(removed))
            if self._setting.monotonic() >= deadline:
                break
            current = Session(record)
            yield from perform(c.Pause(delay))
        raise SessionConflictError(session.id, current.version, record.version)

    def touch(self, session: Session, when_due: bool = False) -> Flow[Session]:
        """Extend the session; with `when_due` only if that is worth a write."""
        valid_session(session)
        if not isinstance(when_due, bool):
            raise InvalidArgumentError("when_due", when_due, "give True or False")
        seen = (yield from self._seen(session)) if when_due else None
        return seen or (yield from self._touched(session))

    def _seen(self, session: Session) -> Flow[Session | None]:
        """Give the session as seen; None if its token leads to it no more, of which its id may still tell."""
        record = record_of(session)
        now = self._setting.guessed_at()
        # A clock that is behind the engine's would have nothing written down until it has caught up.
        if now is not None and record.last_seen_us <= to_us(now) and not touch_is_due(record, to_us(now)):
            return session
        # As a load of its own token would: the engine judges by its clock, and a full disk keeps nobody out.
        loaded: c.Loaded = yield c.Load(record.token_hash, record.scope, self._setting.at(), "", True)
        found = loaded.record
        if found is None or is_taken(found, record):
            return None
        if loaded.touched:
            self._bus.publish(e.SessionTouched(found.id, found.scope, found.owner))
        return _seen_anew(session, found)

    def _touched(self, session: Session) -> Flow[Session]:
        operation = self._mint.operation_id()
        reply = yield from perform(c.Touch(session.id, self._setting.at(), operation, meant=record_of(session)))
        record = self._changed(session, "touch", reply)
        if self._bus.subscribers:
            self._bus.publish(e.SessionTouched(record.id, record.scope, record.owner))
        return _seen_anew(session, record)

    def rotate(self, session: Session, owner: str | None) -> Flow[Session]:
        """Give the session a new token, and an anonymous one its owner."""
        self._check_new_owner(valid_session(session), owner)
        if is_in_grace(session):
            self._tell_rotation_lost(session)
            return session
        minted = self._mint.renewed(session.id)
        rules = self._policies.rules(session.scope)
        rotate = c.Rotate(
            session.id,
            self._setting.at(),
            self._mint.operation_id(),
            record_of(session).token_hash,
            minted.token_hash,
            # Whoever knew the token before a login (he may have planted it) must not be inside after it.
            rules.grace_us if owner in (None, session.owner) else 0,
            owner,
            meant=record_of(session),
            at_most=None if owner is None else rules.at_most,
        )
        reply = yield from perform(rotate)
        if reply.outcome is Outcome.FULL:
            raise self._refused(session.id, session.scope)
        if self._bus.subscribers:
            self._tell_ended(reply.ended, session.id)
        record = self._changed(session, "rotate", reply, owner)
        if reply.outcome is not Outcome.DONE or record.token_hash != minted.token_hash:
            self._tell_rotation_lost(session)
            return (yield from self._with_cleared_up(Session(record, in_grace=True), reply.ended))
        if self._bus.subscribers:
            self._bus.publish(e.TokenRotated(record.id, record.scope, record.owner))
        return (yield from self._with_cleared_up(Session(record, token=minted.token), reply.ended))

    def _check_new_owner(self, session: Session, owner: str | None) -> None:
        if owner is None:
            return
        valid_text("owner", owner)
        if owner == session.owner:
            return
        valid_name("owner", owner)
        if not is_anonymous(session.owner):
            raise MisuseError(
                f"session {session.id} already has an owner and never changes to another; end it and create a new one"
            )

    def _tell_rotation_lost(self, session: Session) -> None:
        if self._bus.subscribers:
            self._bus.publish(e.RotationLost(session.id, session.scope, session.owner))

    def _changed(self, session: Session, verb: str, reply: c.Changed, owner: str | None = None) -> SessionRecord:
        """Give the record of a change that was not refused, by somebody who may be its `owner`."""
        record = reply.record
        # Also what lost against a login, or was done before it and is asked again, must not show the owner's session.
        is_anothers = record is not None and record.owner != owner and is_taken(record, record_of(session))
        if record is None or is_anothers or reply.outcome is Outcome.ENDED:
            raise self._over(session, verb, ended_reason(record, record_of(session)))
        return record

    def _over(self, session: Session, verb: str, reason: str | None) -> SessionEndedError:
        if self._bus.subscribers:
            self._bus.publish(e.ChangeRefused(session.id, session.scope, session.owner, verb, reason))
        return SessionEndedError(session.id, reason)


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _NO_VERSION


def _seen_anew(session: Session, record: SessionRecord) -> Session:
    # If the token was rotated meanwhile, the caller's own is in its grace now: it must not rotate the new one away.
    return Session(record, in_grace=is_in_grace(session) or record.token_hash != record_of(session).token_hash)
