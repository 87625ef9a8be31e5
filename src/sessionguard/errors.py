"""Every error sessionguard raises, in one tree.

    SessionGuardError
    ├─ ConfigurationError (ValueError)     a setting is wrong: setting, value, remedy
    │  └─ MissingExtraError (ImportError)  an optional package is absent: extra, package
    ├─ InvalidArgumentError (ValueError)   an argument is wrong: argument, value, remedy
    ├─ MisuseError (RuntimeError)          the program uses the library wrongly: remedy
    │  └─ SessionSealedError               a session was used after its response was sent
    ├─ SessionError                        about one session: session_id
    │  ├─ SessionEndedError                reason
    │  ├─ SessionConflictError             expected, found
    │  ├─ SessionTooLargeError             limit_bytes, size_bytes
    │  ├─ SessionLimitError                limit, scope
    │  └─ SessionMismatchError             found
    ├─ ExternalIdError                     about a session that a client names: fingerprint
    │  ├─ ExternalIdUnknownError           the caller has none of that name
    │  ├─ ExternalIdClaimedError           another browser is bound to it
    │  └─ ExternalIdRefusedError           problem
    ├─ CrossSiteError                      origin
    ├─ StoreError                          store, operation, message, retryable
    │  ├─ StoreUnavailableError            the outcome is unknown; safe to repeat: transient
    │  ├─ StoreTimeoutError (TimeoutError) nothing was done in the time allowed
    │  ├─ StoreDataError                   what the store holds cannot be read
    │  └─ IdentityMismatchError            the reply is not for what was asked
    ├─ WorkspaceError                      session_id
    │  ├─ PathEscapeError                  name, problem
    │  ├─ QuotaExceededError               limit, used, unit, whose
    │  ├─ ArchiveRefusedError              entry, problem
    │  ├─ LeaseLostError                   reason
    │  └─ WorkspaceUnavailableError        operation, problem, place: the outcome is unknown
    └─ LockError                           session_id, name
       ├─ LockTimeoutError (TimeoutError)  waited
       └─ LockLostError                    fence

Each class has a stable `code`, builds its message from its attributes, survives pickling and never
holds a token. A malformed, unknown, expired or ended token raises nothing: `load` gives None.
"""

import re
from typing import Any, ClassVar, Final, Self

_TOKEN: Final = re.compile(r"sg1_[a-z0-9]{1,16}_[0-9a-f]{2}[A-Za-z0-9_-]{43}|sg[a-z0-9]{3}[0-9a-f]{2}[a-z0-9]{25}")
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*://)(.*@)?([^?#;]*)(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
_PLAIN_PATH: Final = re.compile(r"[\w./\\ -]*")
# A slash too few: what follows may still hold a password, unless it is as plain as a path.
_SHORT_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*:/[\w./\\ -]*)([?#;].*)?", re.ASCII | re.IGNORECASE | re.DOTALL)


class SessionGuardError(Exception):
    """The base of every error of this library; catching it catches them all."""

    code: ClassVar[str] = "sessionguard_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors take named attributes, so the default (class, args) would not find its way back.
        return _restore, (type(self), self.args, self.__dict__.copy())

    @classmethod
    def _restored(cls, args: tuple[Any, ...], attributes: dict[str, Any]) -> Self:
        error = cls.__new__(cls)
        error.args = args
        error.__dict__.update(attributes)
        return error


def _restore(
    error_class: type[SessionGuardError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> SessionGuardError:
    return error_class._restored(args, attributes)


def _shown(value: object) -> str:
    """Give `value` as text for a message: short, quoted, control characters escaped, tokens hidden."""
    text = _TOKEN.sub("(a token)", ascii(value))
    return text if len(text) <= 80 else text[:77] + "..."


def without_secrets(url: object) -> str:
    """Give `url` as it may be shown: its scheme, host and path; what may hold a password is replaced by stars.

    That is everything up to the last `@`, because passwords are written there with `/`, `?` and `#` in them,
    and all options. Text that is no URL, nor a mere path, is all stars; of what is no text only the type is shown.
    """
    if not isinstance(url, str):
        return f"({type(url).__name__})"
    if _PLAIN_PATH.fullmatch(url):
        return url
    if found := _URL.fullmatch(url):
        scheme, credentials, place, options = found.groups()
        return f"{scheme}{'***@' if credentials else ''}{place}{'?***' if options else ''}"
    if found := _SHORT_URL.fullmatch(url):
        return f"{found.group(1)}{'?***' if found.group(2) else ''}"
    return "***"


# Settings, arguments, use


class ConfigurationError(SessionGuardError, ValueError):
    """A setting is missing or wrong; nothing was started. The message names the remedy."""

    code = "configuration"

    def __init__(self, setting: str, value: object, remedy: str) -> None:
        self.setting = setting
        self.value = _shown(value)
        self.remedy = remedy
        super().__init__(f"{setting} = {self.value}: {remedy}")

    @staticmethod
    def of_url(url: object, remedy: str, *, setting: str = "store URL") -> "ConfigurationError":
        """Give the error for a store URL that does not do; no password or option of it is in the message."""
        return ConfigurationError(setting, url if isinstance(url, int | None) else without_secrets(url), remedy)

    def renamed(self, setting: str) -> Self:
        """Give the same error about `setting`: the name under which whoever is to mend it gave the value."""
        return self._restored((f"{setting} = {self.value}: {self.remedy}",), {**self.__dict__, "setting": setting})


class MissingExtraError(ConfigurationError, ImportError):
    """A part was asked for whose optional package is not installed: `package`, which the extra `extra` brings."""

    code = "missing_extra"

    def __init__(self, extra: str, package: str) -> None:
        self.extra = extra
        self.package = package
        # The package itself, which is right however sessionguard was installed.
        self.install_command = f"pip install '{package}'"
        remedy = f"it is not installed; install it: {self.install_command} (or the extra [{extra}] of sessionguard)"
        super().__init__("package", package, remedy)


class InvalidArgumentError(SessionGuardError, ValueError):
    """An argument cannot be accepted; no store was asked and nothing changed."""

    code = "invalid_argument"

    def __init__(self, argument: str, value: object, remedy: str) -> None:
        # It may name a field of the caller's data.
        self.argument = _TOKEN.sub("(a token)", argument)
        self.value = _shown(value)
        self.remedy = remedy
        super().__init__(f"{self.argument} = {self.value}: {remedy}")


class MisuseError(SessionGuardError, RuntimeError):
    """The program used the library against its rules; the message says how to do it right."""

    code = "misuse"


class SessionSealedError(MisuseError):
    """A session object was written to after its response had been sent."""

    code = "session_sealed"

    def __init__(self, session_id: str | None = None) -> None:
        self.session_id = session_id
        super().__init__(
            "the session of this request was sealed when its response was sent; finish the work on it before "
            "returning the response, or load it again with guard.get(session_id) in the background job"
        )


# One session


class SessionError(SessionGuardError):
    """Something about one session; `session_id` is its public handle."""

    code = "session"

    def __init__(self, session_id: str, message: str) -> None:
        self.session_id = session_id
        super().__init__(f"session {session_id}: {message}")


class SessionEndedError(SessionError):
    """The session has ended or expired, or is not known any more; nothing was changed."""

    code = "session_ended"

    def __init__(self, session_id: str, reason: str | None) -> None:
        self.reason = reason
        super().__init__(session_id, f"it has ended ({reason or 'no longer known'}); open a new session")


class SessionConflictError(SessionError):
    """The stored version is not the expected one; nothing was changed. Load again and decide anew."""

    code = "session_conflict"

    def __init__(self, session_id: str, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(session_id, f"version {found} is stored where version {expected} was expected")


class SessionTooLargeError(SessionError):
    """The data would exceed the limit of its policy; nothing was changed."""

    code = "session_too_large"

    def __init__(self, session_id: str, limit_bytes: int, size_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = size_bytes
        super().__init__(
            session_id,
            f"its data would take {size_bytes} bytes, the policy allows {limit_bytes} "
            "(max_data_bytes); keep large values in the workspace",
        )


class SessionLimitError(SessionError):
    """The owner already has as many active sessions in the scope as the policy allows; nothing was changed.

    `session_id` is of the session that was not opened, or that did not receive the owner.
    """

    code = "session_limit"

    def __init__(self, session_id: str, limit: int, scope: str | None = None) -> None:
        self.limit = limit
        self.scope = scope
        where = "" if scope is None else f" in the scope {scope!r}"
        super().__init__(
            session_id,
            f"its owner already has {limit} active sessions{where}, the most the policy allows (max_active); "
            "end another one of this owner first, or let on_limit choose one to end",
        )


class SessionMismatchError(SessionError):
    """A request carries the id of another session than the one it belongs to; nothing was changed.

    `session_id` is the one it carries and `found` its own, or None without one.
    """

    code = "session_mismatch"

    def __init__(self, session_id: str, found: str | None) -> None:
        self.found = found
        own = "this request has no session" if found is None else f"this request belongs to session {found}"
        super().__init__(session_id, f"{own}; load the page again")


# What clients name, and what other sites send


class ExternalIdError(SessionGuardError):
    """Something about the session that a client names. `fingerprint` stands for the name, which is not shown."""

    code = "external_id"

    def __init__(self, fingerprint: str, message: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(f"external id {fingerprint}: {message}")


class ExternalIdUnknownError(ExternalIdError):
    """The caller has no session of that name: there never was one, it is over, or it is somebody else's, all alike."""

    code = "external_id_unknown"

    def __init__(self, fingerprint: str) -> None:
        super().__init__(fingerprint, "the caller has no such session; POST /new-session opens one")


class ExternalIdClaimedError(ExternalIdError):
    """Another browser has the session of that name. Its data was not shown; take another name."""

    code = "external_id_claimed"

    def __init__(self, fingerprint: str) -> None:
        super().__init__(fingerprint, "another browser is bound to it; take another id")


class ExternalIdRefusedError(ExternalIdError):
    """A name was presented without what admits to it; nothing was opened. `problem` is for the log, not for clients."""

    code = "external_id_refused"

    def __init__(self, fingerprint: str, problem: str) -> None:
        self.problem = problem
        super().__init__(fingerprint, f"refused: {problem}")


class CrossSiteError(SessionGuardError):
    """A page of another site had a browser send a request that changes something; nothing was changed."""

    code = "cross_site"

    def __init__(self, origin: str) -> None:
        self.origin = _shown(origin)
        super().__init__(f"a page of {self.origin} sent this request; if it may, name it in trusted_origins")


# Stores


class StoreError(SessionGuardError):
    """A store could not do what it was asked; `retryable` tells whether asking again may help."""

    code = "store"
    retryable: bool = False

    def __init__(self, store: str, operation: str, message: str) -> None:
        self.store = store
        self.operation = operation
        self.message = message
        super().__init__(f"{store} store, {operation}: {message}")


class StoreUnavailableError(StoreError):
    """The store could not be asked or did not answer: a change may or may not have happened. Safe to repeat.

    `transient` tells whether it may soon be otherwise, as when a server restarts; a guard then repeats the call by
    itself for as long as its patience lasts.
    """

    code = "store_unavailable"
    retryable = True

    def __init__(self, store: str, operation: str, message: str, *, transient: bool = False) -> None:
        self.transient = transient
        super().__init__(store, operation, message)


class StoreTimeoutError(StoreError, TimeoutError):
    """The store stayed busy for the whole time allowed; nothing was done."""

    code = "store_timeout"
    retryable = True


class StoreDataError(StoreError):
    """What the store holds is not something this version wrote or can read."""

    code = "store_data"


class IdentityMismatchError(StoreError):
    """The store answered with another session than the one asked for; nothing of it was given to the caller."""

    code = "identity_mismatch"

    def __init__(self, store: str, operation: str, field: str) -> None:
        self.field = field
        super().__init__(store, operation, f"the reply is not for what was asked ({field} differs); it was discarded")


# Workspaces


class WorkspaceError(SessionGuardError):
    """Something about the workspace of one session."""

    code = "workspace"

    def __init__(self, session_id: str | None, message: str) -> None:
        self.session_id = session_id
        super().__init__(
            f"workspaces: {message}" if session_id is None else f"workspace of session {session_id}: {message}"
        )


class PathEscapeError(WorkspaceError, ValueError):
    """A name is not acceptable, or what it names is not a plain file inside the workspace; nothing was touched."""

    code = "path_escape"

    def __init__(self, session_id: str, name: object, problem: str) -> None:
        self.name = _shown(name)
        self.problem = problem
        super().__init__(session_id, f"name {self.name} refused: {problem}")


class QuotaExceededError(WorkspaceError):
    """The workspace would outgrow its quota; the file that was being written was discarded."""

    code = "quota_exceeded"

    def __init__(self, session_id: str, limit: int, used: int, unit: str, whose: str = "session") -> None:
        self.limit = limit
        self.used = used
        self.unit = unit
        self.whose = whose
        who = "all of its owner together" if whose == "owner" else "it"
        super().__init__(session_id, f"{who} may hold {limit} {unit} and would hold {used}")


class ArchiveRefusedError(WorkspaceError, ValueError):
    """An archive is damaged, or holds what may not come into a workspace; no file of it did. `entry` names which."""

    code = "archive_refused"

    def __init__(self, session_id: str, entry: str | None, problem: str) -> None:
        self.entry = None if entry is None else _shown(entry)
        self.problem = problem
        which = "" if entry is None else f" at its entry {self.entry}"
        super().__init__(session_id, f"the archive is refused{which}: {problem}")


class LeaseLostError(WorkspaceError):
    """The claim that kept the workspace in use is gone; what was written since may be lost."""

    code = "lease_lost"

    def __init__(self, session_id: str, reason: str) -> None:
        self.reason = reason
        super().__init__(session_id, f"its lease is lost ({reason})")


class WorkspaceUnavailableError(WorkspaceError):
    """The place for files could not be asked or did not answer: a change happened whole or not at all. Safe to repeat.

    `session_id` is None where no one session is concerned. `place` is the setting `workspaces` without secrets, where
    it is a URL that the doctor examines. With `changes=False` nothing was to be changed.
    """

    code = "workspace_unavailable"

    def __init__(
        self, session_id: str | None, operation: str, problem: str, *, place: str | None = None, changes: bool = True
    ) -> None:
        self.operation = operation
        self.problem = problem
        self.place = place
        where = "" if place is None else f" (workspaces = {place!r})"
        outcome = "it may or may not have been done, and may be repeated" if changes else "it may be repeated"
        remedy = "" if place is None else f"; `sessionguard doctor --workspaces '{place}'` looks for the cause"
        super().__init__(session_id, f"{operation}: {problem}{where}; {outcome}{remedy}")


# Locks


class LockError(SessionGuardError):
    """Something about a named lock of one session."""

    code = "lock"

    def __init__(self, session_id: str, name: str, message: str) -> None:
        self.session_id = session_id
        self.name = name
        super().__init__(f"lock {name!r} of session {session_id}: {message}")


class LockTimeoutError(LockError, TimeoutError):
    """The lock was held by others for the whole time allowed; it was not taken."""

    code = "lock_timeout"

    def __init__(self, session_id: str, name: str, waited_seconds: float) -> None:
        self.waited_seconds = waited_seconds
        super().__init__(session_id, name, f"not free within {waited_seconds:g} s")


class LockLostError(LockError):
    """The lock lapsed while it was thought held, and may have been taken by another with a higher fence."""

    code = "lock_lost"

    def __init__(self, session_id: str, name: str, fence: int) -> None:
        self.fence = fence
        super().__init__(session_id, name, f"lost while held with fence {fence}")
