"""The names of keys: which shard of the server a command belongs to, and nothing of what a caller chose in any of them.

Every key of a shard is `<prefix>:{<tag>}:...`; the two hexadecimal digits in braces alone decide its hash slot.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from sessionguard.errors import ConfigurationError

TAGS: Final = tuple(f"{shard:02x}" for shard in range(256))

_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OPERATION: Final = re.compile(r"[0-9a-f]{16}")


@frozen
class Keys:
    """The keys that begin with one prefix."""

    prefix: str = field()
    bases: Mapping[str, bytes] = field(init=False, repr=False, eq=False)
    """Tag -> what all keys of that shard begin with."""

    @prefix.validator
    def _check(self, _: object, prefix: object) -> None:
        if not isinstance(prefix, str) or _PREFIX.fullmatch(prefix) is None:
            raise ConfigurationError("prefix", prefix, "use 1 to 64 letters, digits, dots, dashes or underscores")

    @bases.default
    def _named(self) -> Mapping[str, bytes]:
        return {tag: f"{self.prefix}:{{{tag}}}:".encode("ascii", "replace") for tag in TAGS}

    @property
    def meta(self) -> bytes:
        """The key that holds the format and the deployment id."""
        return f"{self.prefix}:meta".encode("ascii")

    def index(self, tag: str, name: str) -> bytes:
        """Give the key of an index of the shard."""
        return self.bases[tag] + name.encode("ascii")


def hash_slot(key: bytes) -> int:
    """Give the hash slot of a key, as a cluster computes it: CRC16 of what stands in the first braces, if any."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    hashed = key[start + 1 : end] if -1 < start < end - 1 else key
    crc = 0
    for byte in hashed:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc % 16384


def operation(operation_id: str) -> str:
    """Give an operation id as scripts know it: 16 hexadecimal digits, as the ids of guards are."""
    if _OPERATION.fullmatch(operation_id):
        return operation_id
    return hashlib.blake2b(operation_id.encode(), digest_size=8).hexdigest()
