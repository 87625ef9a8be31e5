"""What the store's user must be allowed on the server: what was refused, and the rule that would allow it."""

import re
from typing import Final

from redis import exceptions as driver

GRANTS: Final = "+@read +@write +@hash +@string +@sortedset +@set +eval +evalsha +time +echo +select +info"
READS_SETTINGS: Final = "+config|get"
"""What only an examination asks for; sessions do not need it."""

_COMMAND: Final = re.compile(r"permissions to run the '([^']+)' command")
_IN_SCRIPT: Final = re.compile(r"executing the script can't run this command|ACL failure in script")
_KEYS: Final = re.compile(r"permissions to access (?:one of the keys|a key)|can't access at least one of the keys")


def rule(prefix: str) -> str:
    """Give the command that allows a user all that a store with this prefix needs."""
    return f"ACL SETUSER <user> ~{prefix}:* {GRANTS}"


def refusal(error: BaseException, prefix: str) -> str | None:
    """Give which command or keys the server refused to its user, and the rule that allows them; None if it did not."""
    if not isinstance(error, driver.ResponseError):
        return None
    text = str(error)
    if _KEYS.search(text) is not None:
        return f"its user may not use the keys {prefix}:*; allow them: {rule(prefix)}"
    command = _COMMAND.search(text)
    if command is not None and command[1].startswith(("sentinel", "cluster")):
        return f"its user may not run {command[1]!r}; allow it: ACL SETUSER <user> +{command[1]}"
    if command is not None:
        return f"its user may not run {command[1]!r}; allow it: ACL SETUSER <user> +{command[1]}, or {rule(prefix)}"
    if isinstance(error, driver.NoPermissionError) or _IN_SCRIPT.search(text) is not None:
        return f"its user may not run a command of its scripts ({text}); allow it: {rule(prefix)}"
    return None
