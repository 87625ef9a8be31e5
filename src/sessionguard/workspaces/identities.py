"""Which session, owner and deployment files belong to, as text that may become part of a path or key: no I/O."""

import hashlib
import re

from sessionguard.errors import InvalidArgumentError

_SESSION_ID = re.compile(r"[0-9a-f]{34}", re.ASCII)
_OWNER_KEY = re.compile(r"[0-9a-f]{32,64}", re.ASCII)


def is_session_id(value: object) -> bool:
    """Tell whether `value` is text of exactly 34 lower-case hexadecimal characters."""
    # fullmatch: `$` would let a trailing newline through.
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


def checked_session_id(value: object) -> str:
    """Give `value` back if it may become part of a path.

    Raises:
        InvalidArgumentError: it is not a session_id; no path was made from it.
    """
    if not is_session_id(value):
        raise InvalidArgumentError("session_id", value, "give the id of a Session, 34 hexadecimal characters")
    return str(value)


def is_owner_key(value: object) -> bool:
    """Tell whether `value` is the key of an owner."""
    return isinstance(value, str) and _OWNER_KEY.fullmatch(value) is not None


def checked_owner_key(value: object) -> str:
    """Give `value` back if it may become part of a path.

    Raises:
        InvalidArgumentError: it is not 32 to 64 lower-case hexadecimal characters; no path was made from it.
    """
    if not is_owner_key(value):
        raise InvalidArgumentError("OwnerQuota.key", value, "give a hash of the owner, 32 to 64 hexadecimal characters")
    return str(value)


def deployment_folder(deployment_id: str) -> str:
    """Give the name of the folder of a deployment; two deployments sharing a place never share it.

    Raises:
        InvalidArgumentError: the deployment_id is empty or not text.
    """
    if not isinstance(deployment_id, str) or not deployment_id:
        raise InvalidArgumentError("deployment_id", deployment_id, "give the non-empty deployment id kept in the store")
    return hashlib.sha256(deployment_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
