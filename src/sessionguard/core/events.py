"""What happened, as values. Subscribers get them one by one, in the order in which they happened.

Events carry handles and reasons, never tokens or data. Owners may be personal data: a subscriber that writes
them down should know what its readers may see.
"""

from collections.abc import Callable
from contextlib import suppress

from attrs import frozen

from sessionguard.core.lifecycle import Refusal


@frozen
class Event:
    """The base of all events."""


@frozen
class SessionEvent(Event):
    """Something about one session."""

    session_id: str
    scope: str
    owner: str


@frozen
class SessionCreated(SessionEvent):
    """A new session was opened; `verb` says by which call."""

    verb: str
    external_id: str | None = None


@frozen
class SessionReused(SessionEvent):
    """`get_or_create` found the active session of the slot."""

    external_id: str | None = None


@frozen
class SessionReplaced(SessionEvent):
    """A session ended because `successor_id` took its slot."""

    successor_id: str


@frozen
class SessionExpired(SessionEvent):
    """An expired session was ended."""


@frozen
class SessionEnded(SessionEvent):
    """A session was ended by a call, for `reason`."""

    reason: str


@frozen
class SessionTouched(SessionEvent):
    """That the session was seen was written down."""


@frozen
class SessionSaved(SessionEvent):
    """Fields were changed or removed; `version` is the one they got."""

    version: int
    changed_count: int
    removed_count: int


@frozen
class TokenRotated(SessionEvent):
    """The session has a new token."""


@frozen
class RotationLost(SessionEvent):
    """A rotation found that another had come first, or was asked for with a token in its grace."""


@frozen
class SaveConflicted(SessionEvent):
    """The stored version was not the expected one."""

    expected: int
    found: int


@frozen
class ChangeRefused(SessionEvent):
    """`verb` was asked of a session that had ended or expired."""

    verb: str
    reason: str | None


@frozen
class TokenRejected(Event):
    """A token led to no session. `session_id` is known if it once had one."""

    reason: Refusal
    session_id: str | None


@frozen
class CookieRefused(Event):
    """A request carried something under the name of our cookie, or under one that looks like it, that was not taken."""

    reason: str


@frozen
class ContextLost(Event):
    """A request that went on with the session `expected_id` met `found_id` (None: no session) in its place."""

    expected_id: str
    found_id: str | None
    owner: str | None


@frozen
class ExternalIdRejected(Event):
    """A client named a session that it was not given; `fingerprint` stands for the name.

    `reason` is "unknown", "claimed", "not taken" (the server gave an id of its own), "mismatch", "no signature",
    "replayed", "too many", or what was wrong with the signature.
    """

    reason: str
    fingerprint: str


@frozen
class ExternalIdAccepted(Event):
    """A client was given the session that it named, under `policy`. Nobody should see this one with "bearer"."""

    policy: str
    session_id: str


@frozen
class TokenMisplaced(Event):
    """One of our tokens stood in the `place` "query", "body" or "header" where none belongs; it was not looked at.

    It may be in logs by now: find out who puts it there.
    """

    place: str


@frozen
class IdentityMismatched(Event):
    """The store answered with another session than the one asked for. Find out why before you go on."""

    store: str
    verb: str
    field: str


@frozen
class CallRepeated(Event):
    """The store could not answer `verb` for the moment; the same command is sent again."""

    store: str
    verb: str
    error: str


@frozen
class SessionLost(Event):
    """The store no longer knows a session that it had acknowledged, as after a failover; its files are kept apart."""

    session_id: str


@frozen
class WorkspaceRemoved(Event):
    """The files of an ended session are gone, or wait for their last lease (`is_deferred`)."""

    session_id: str
    file_count: int
    size_bytes: int
    is_deferred: bool


@frozen
class CleanupFailed(Event):
    """A step of the clean-up failed; the sessions are ended all the same and the next pass tries again."""

    session_id: str | None
    error: str


@frozen
class SweepBraked(Event):
    """A sweep found a larger share of the active sessions due than its brake lets pass, and ended none.

    Nobody counted further than it took to see that, so both numbers are at least so many.
    """

    due: int
    active: int
    share: float


@frozen
class LockLost(Event):
    """A lock lapsed while it was held, or something was to be saved under one that another has taken since."""

    session_id: str
    name: str
    fence: int


@frozen
class LeaseLost(Event):
    """A session was held, and the lease lapsed; `reason` says how that was noticed. Its files may have been removed."""

    session_id: str
    fence: int
    reason: str


Subscriber = Callable[[Event], object]


class EventBus:
    """Hands every event to every subscriber, in the thread or task in which it happened.

    A subscriber that fails is reported to `on_failure` and disturbs neither the operation nor the others.
    """

    def __init__(self, on_failure: Callable[[Subscriber, Exception], object]) -> None:
        self._on_failure = on_failure
        self.subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Let `subscriber` hear every event from now on; gives a function that ends it."""
        self.subscribers.append(subscriber)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self.subscribers.remove(subscriber)

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Hand `event` to all subscribers."""
        # A copy, for others may subscribe meanwhile.
        for subscriber in tuple(self.subscribers):
            try:
                subscriber(event)
            except Exception as error:
                self._on_failure(subscriber, error)
