"""The driver's and the server's errors in our words: what happened, whether repeating soon may help, and the remedy."""

import re
from typing import Final

from redis import exceptions as driver

from sessionguard.errors import ConfigurationError, SessionGuardError, StoreError, StoreUnavailableError
from sessionguard.stores.redis import permissions

# What stands in the reply -> what it means, and whether asking again soon may help. A script reports the error of one
# of its commands inside its own, so the words are looked for anywhere. The first that is found counts.
_MEANINGS: Final[tuple[tuple[str, str, bool], ...]] = (
    (
        "OOM",
        "its memory is full and nothing was changed; raise maxmemory or let history be forgotten sooner "
        "(history_retention). Loading, ending, sweeping and purging go on",
        False,
    ),
    ("READONLY", "it is a read-only replica; name the primary in the URL, or its sentinels", True),
    (
        "MISCONF",
        "it could not save to disk and therefore refuses writes (stop-writes-on-bgsave-error); see its log, and the "
        "space on its disk. Loading and listing go on",
        False,
    ),
    (
        "NOREPLICAS",
        "fewer replicas are in step than min-replicas-to-write, so it refuses writes; start them again. Loading and "
        "listing go on",
        True,
    ),
    ("MASTERDOWN", "it is a replica that has lost its primary", True),
    ("LOADING", "it is still loading its data", True),
    ("CLUSTERDOWN", "the cluster does not serve all slots", True),
    ("TRYAGAIN", "the cluster is moving the slot to another node", True),
    ("MOVED", "the slot has moved to another node of the cluster", True),
    ("ASK", "the cluster is moving the slot to another node", True),
    ("BUSY", "it is busy running a script", True),
    ("UNBLOCKED", "it became a replica", True),
    ("max number of clients", "it has no connection left (maxclients)", True),
)
_SCRIPT_REFUSED: Final = re.compile(
    r"\b(READONLY|UNBLOCKED|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|non local|not local)\b"
)


def translated(operation: str, error: BaseException, prefix: str) -> SessionGuardError:
    """Give our error for one of the driver's or the system's, on a store whose keys begin with `prefix`.

    Replies of the server name no values of callers. What went wrong before a server was asked anything is told by
    `contact`, in errors of ours.
    """
    if isinstance(error, SessionGuardError):
        return error
    if (refused := permissions.refusal(error, prefix)) is not None:
        return StoreUnavailableError("redis", operation, refused)
    for words, meaning, is_transient in _MEANINGS:
        if isinstance(error, _CLASSES.get(words, ())) or _holds(words, error):
            return StoreUnavailableError("redis", operation, meaning, transient=is_transient)
    if isinstance(error, driver.ResponseError):
        return StoreError("redis", operation, f"the server refused the request ({error})")
    if isinstance(error, driver.TimeoutError | TimeoutError):
        return StoreUnavailableError("redis", operation, "the server did not answer in time", transient=True)
    return StoreUnavailableError("redis", operation, f"the connection failed ({error})", transient=True)


def _holds(words: str, error: BaseException) -> bool:
    return isinstance(error, driver.RedisError) and re.search(rf"\b{words}\b", str(error)) is not None


# The driver takes the first word off the message of an error that it knows.
_CLASSES: Final[dict[str, type[Exception]]] = {
    "OOM": driver.OutOfMemoryError,
    "READONLY": driver.ReadOnlyError,
    "MASTERDOWN": driver.MasterDownError,
    "LOADING": driver.BusyLoadingError,
    "CLUSTERDOWN": driver.ClusterDownError,
    "TRYAGAIN": driver.TryAgainError,
    "MOVED": driver.MovedError,
    "ASK": driver.AskError,
}


def leads_elsewhere(error: BaseException) -> bool:
    """Tell whether the other connections to that server are probably as bad, or the server is not the right one now."""
    if isinstance(error, SessionGuardError):
        # Who could not sign in, or whose certificates do not do, has heard nothing of those that could connect before.
        is_of_files = isinstance(error.__cause__, ConfigurationError)
        return isinstance(error, StoreUnavailableError) and error.transient and not is_of_files
    if isinstance(error, driver.ResponseError):
        return isinstance(
            error, driver.AskError | driver.ClusterError | driver.ReadOnlyError | driver.TryAgainError
        ) or (_SCRIPT_REFUSED.search(str(error)) is not None)
    return isinstance(error, driver.ConnectionError | driver.TimeoutError | OSError)


def may_lead_elsewhere(error: BaseException) -> bool:
    """Tell whether the server may have a successor, though others can still ask it.

    It has lost its replicas, or another server has taken its address, and lets nobody in.
    """
    is_refused = isinstance(error, driver.ResponseError) and _holds("NOREPLICAS", error)
    return is_refused or isinstance(error, StoreUnavailableError)
