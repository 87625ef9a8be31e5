"""psycopg's errors in our words: what happened, whether anything was done, and what helps.

`transient` is said of what may soon be otherwise by itself: a server that restarts, a connection that was cut, a
deadlock. Messages of the server are shown by their first line, which names objects and never values.
"""

from typing import Final

import psycopg
from attrs import frozen

from sessionguard.errors import SessionGuardError, StoreDataError, StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.postgres.connecting import NoAnswerError
from sessionguard.stores.postgres.rights import grants
from sessionguard.stores.postgres.settings import Settings

NAME: Final = "postgresql"


@frozen
class _Meaning:
    remedy: str = ""
    transient: bool = False


_RESTARTING: Final = _Meaning("the server is restarting or shutting down", transient=True)
_MIGRATE: Final = _Meaning("run `sessionguard migrate` with the role that owns the schema")
ON_THE_PRIMARY: Final = "name the primary in the store URL, or all servers with target_session_attrs=read-write"
"""What helps where a server takes no changes."""
_STANDBY: Final = _Meaning(f"this server is a standby; {ON_THE_PRIMARY}", transient=True)
# By SQLSTATE, or by its class.
_MEANINGS: Final[dict[str, _Meaning]] = {
    "08": _Meaning("the connection was lost", transient=True),
    "08P01": _Meaning("a proxy in between takes no settings of a connection: add prepare=false to the store URL"),
    "26000": _Meaning("a proxy in between shares connections: add prepare=false to the store URL"),
    "42P05": _Meaning("a proxy in between shares connections: add prepare=false to the store URL"),
    "25006": _Meaning(f"this server is a standby or read-only; {ON_THE_PRIMARY}", transient=True),
    "28": _Meaning("check the user, the password and pg_hba.conf of the server"),
    "3D000": _Meaning("create the database, or correct its name in the URL"),
    "3F000": _MIGRATE,
    "40": _Meaning("another transaction was in the way; nothing was done", transient=True),
    "42P01": _MIGRATE,
    "42883": _MIGRATE,
    "53000": _Meaning("the server lacks resources"),
    "53100": _Meaning("the disk of the server is full: free some space; what was stored before is intact"),
    "53200": _Meaning("the server is out of memory: give it more, or let it serve fewer connections"),
    "53300": _Meaning(
        "the server has no connection left: raise max_connections, use a smaller pool, or a proxy", transient=True
    ),
    "57P01": _RESTARTING,
    "57P02": _RESTARTING,
    "57P03": _RESTARTING,
    "57P05": _Meaning("the server closed the idle connection", transient=True),
    "58": _Meaning("the server could not use its files: see its log"),
    # Ours, for what has no SQLSTATE of its own.
    "cached plan": _Meaning("the schema was migrated under an open connection", transient=True),
    "standby": _STANDBY,
    # Ours, for what libpq finds wrong before the server is asked anything.
    "ssl": _Meaning("check sslmode and the certificates that the URL names, and ssl in postgresql.conf"),
    "no connect": _Meaning("let the owner of the database run GRANT CONNECT ON DATABASE for this role"),
    "gss": _Meaning("get a ticket (kinit), or leave out gssencmode=require"),
    "url": _Meaning("correct the address or the option in the store URL"),
}
_TIMEOUTS: Final = frozenset({"57014", "55P03"})
_UNREADABLE: Final = ("22", "23", "XX")

# A refused connection has no SQLSTATE. Text -> the one it would have had; in English, as servers speak by default.
_REFUSALS: Final = (
    ("unexpected eof while reading", "08006"),
    ("password authentication failed", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("no password supplied", "28P01"),
    ("is not permitted to log in", "28000"),
    ("unsupported startup parameter", "08P01"),
    ("role ", "28000"),
    ("permission denied for database", "no connect"),
    ("too many clients", "53300"),
    ("too many connections", "53300"),
    ("remaining connection slots", "53300"),
    ("is starting up", "57P03"),
    ("is shutting down", "57P03"),
    ("not yet accepting connections", "57P03"),
    ("in recovery mode", "57P03"),
    ("is read-only", "25006"),
    ("database ", "3D000"),
    ("GSSAPI", "gss"),
    ("channel binding required", "28000"),
    ("authentication method requirement", "28000"),
    ("does not support SSL", "ssl"),
    ("certificate", "ssl"),
    ("private key", "ssl"),
    ("SSL error", "ssl"),
    ("could not parse network address", "url"),
    ("connection is bad: invalid", "url"),
    ("invalid integer value", "url"),
    ("could not match", "url"),
    ("definition of service", "url"),
    ("received invalid response", "url"),
)
# Refusals after which connections that are open lead nowhere either. Not of a name that is not resolved just now, of a
# password that was changed, or of one connection too many: those that are open go on working.
_GONE: Final = (
    "Connection refused", "Is the server running", "timeout expired", "timed out", "No route to host", "unreachable",
    "Host is down", "closed the connection", "Connection reset", "Broken pipe",
)  # fmt: skip


def translated(
    operation: str, error: psycopg.Error | OverflowError, settings: Settings, role: str | None
) -> SessionGuardError:
    """Give our error for one that psycopg raised while the server was asked; `role`: whose rights did not suffice."""
    if isinstance(error, NoAnswerError):
        return StoreUnavailableError(
            NAME, operation, f"{error}; see that it is well and can be reached", transient=True
        )
    state = getattr(error, "sqlstate", None)
    if state is None:
        # Not an answer of the server: the connection is gone, or its state is.
        return StoreUnavailableError(NAME, operation, _first_line(error), transient=is_lost(error))
    if state in _TIMEOUTS:
        return StoreTimeoutError(NAME, operation, f"others kept what it needs locked ({_message(error)})")
    if state.startswith(_UNREADABLE):
        return StoreDataError(NAME, operation, f"{_message(error)} ({state})")
    if state == "42501":
        remedy = "let the owner of the schema grant this role the use of it; `sessionguard doctor` says how"
        if role is not None:
            remedy = f"let the owner of the schema run: {grants(settings.schema, role)}"
        return StoreUnavailableError(NAME, operation, f"{_message(error)}; {remedy}")
    return _unavailable(operation, _message(error), _unsupported(error) if state == "0A000" else state)


def refused(error: psycopg.Error) -> SessionGuardError:
    """Give our error for one that psycopg raised while connecting."""
    text = _first_line(error)
    state = _refusal(error)
    if state is None:
        refusal = f"{text}; see that the server runs and can be reached"
        # What the server itself said, and is not known here, will not pass by itself.
        return StoreUnavailableError(NAME, "connect", refusal, transient="FATAL" not in text)
    return _unavailable("connect", text, state)


def busy(operation: str, settings: Settings, count: int) -> StoreTimeoutError:
    """Give the error for a call that got none of the connections that there are; nothing was asked."""
    is_full = count >= settings.pool_size
    remedy = "raise pool in the store URL" if is_full else f"the server gives no more: {_MEANINGS['53300'].remedy}"
    waited = f"all {count} connections of this process were busy for {settings.patience_seconds:g} s"
    return StoreTimeoutError(NAME, operation, f"{waited}; {remedy}")


def is_one_too_many(error: psycopg.Error) -> bool:
    """Tell whether a connection was refused because there are as many as the server, the database or the role has."""
    return _refusal(error) == "53300"


def is_gone(error: psycopg.Error) -> bool:
    """Tell whether a refused connection says that those that are open lead nowhere any more, either."""
    state = _refusal(error)
    if state is None:
        return any(part in str(error) for part in _GONE)
    return state != "08P01" and state.startswith(("08", "57", "25006"))


def is_lost(error: BaseException) -> bool:
    """Tell whether `error` says that the connection, and so probably every other one, leads nowhere any more."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state in ("25006", "0A000") or (state[:2] in ("08", "57") and state not in _TIMEOUTS)


def _unsupported(error: psycopg.Error | OverflowError) -> str:
    """Tell apart what has the SQLSTATE 0A000: by the function of the server that said so, for words are translated."""
    origin = (error.diag.source_function if isinstance(error, psycopg.Error) else None) or ""
    # PostgreSQL 13 to 15, and since: a standby takes no BEGIN ... READ WRITE.
    if origin in ("check_XactReadOnly", "check_transaction_read_only") or "during recovery" in str(error):
        return "standby"
    if origin == "RevalidateCachedQuery" or "cached plan" in str(error):
        return "cached plan"
    return "0A000"


def _unavailable(operation: str, text: str, state: str) -> StoreUnavailableError:
    meaning = _MEANINGS.get(state) or _MEANINGS.get(state[:2]) or _Meaning()
    message = f"{text}; {meaning.remedy}" if meaning.remedy else f"{text} ({state})"
    return StoreUnavailableError(NAME, operation, message, transient=meaning.transient)


def _refusal(error: psycopg.Error) -> str | None:
    text = _first_line(error)
    return error.sqlstate or next((state for part, state in _REFUSALS if _said(part, text)), None)


def _said(part: str, text: str) -> bool:
    return text.partition("FATAL:")[2].lstrip().startswith(part) if part.endswith(" ") else part in text


def _message(error: psycopg.Error | OverflowError) -> str:
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return primary or _first_line(error)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
