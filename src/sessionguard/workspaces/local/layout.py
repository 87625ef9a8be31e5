"""Where the files of a session live below the root: names only, no I/O.

- `<root>/<deployment>/<shard>/<session_id>/files/`: what the application sees
- `<root>/<deployment>/<shard>/<session_id>/private/`: the ledger, unfinished writes, and published files
  that a crash kept from getting their names
- `<root>/<deployment>/.clock`: how much time has surely passed
- `<root>/<deployment>/.owners/<shard>/<key>/`: how much of an owner's quota each of the sessions has
- `<root>/<deployment>/.pending/<session_id>`: its removal was asked for while it was in use
- `<root>/<deployment>/.quarantine/<session_id>.<random>`: of a session that the store has lost
- `<root>/<deployment>/.trash/<session_id>.<random>`: out of reach, being deleted
"""

FILES = "files"
PRIVATE = "private"
LEDGER = "ledger"
GONE = "gone"
CLOCK = ".clock"
OWNERS = ".owners"
PENDING = ".pending"
QUARANTINE = ".quarantine"
TRASH = ".trash"

SHARDS = tuple(f"{number:02x}" for number in range(256))
TEMPORARY_PREFIX = "write-"
MANY_PREFIX = "write-many-"
"""A folder of unfinished files that are to appear together."""
PUBLISHING_PREFIX = "publish-"
"""Such a folder, finished: whoever finds it gives its files their names."""


def shard_of(session_id: str) -> str:
    """Give the name of the directory that holds the directory of this session."""
    return session_id[-2:]


def shard_of_owner(key: str) -> str:
    """Give the name of the directory that holds the account of this owner."""
    return key[:2]
