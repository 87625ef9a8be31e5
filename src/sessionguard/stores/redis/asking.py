"""What a procedure asks of whoever drives it, as values: the two stores differ only in how they send these.

A procedure is a generator that yields asks and is sent their replies. Every script gets a nonce that its reply repeats
first, and every survey is fenced by two: a reply that was meant for another request is never decoded.
"""

import itertools
import secrets
from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from attrs import frozen

from sessionguard.core.points import Mode, Part
from sessionguard.errors import IdentityMismatchError
from sessionguard.stores.redis.scripts import Script

R = TypeVar("R")

Words = tuple[bytes | str | int, ...]
"""One command as it is sent."""

_numbers = itertools.count(secrets.randbits(48))
# Nearly every word is shorter; formatting each size anew took a quarter of the packing.
_SIZES: Final = tuple(b"$%d" % size for size in range(64))


def next_nonce() -> bytes:
    """Give what no other request of this process was marked with."""
    return b"%x" % next(_numbers)


def packed(words: Words, head: bytes = b"", count: int = 0) -> bytes:
    """Give a command as the bytes that go over the wire. No word ends before its length says so, whatever is in it.

    It begins with `count` words that are in `head` as they go over the wire, each behind a line break.
    """
    parts = [b"*%d%b" % (count + len(words), head)]
    add = parts.append
    for word in words:
        text = word if type(word) is bytes else str(word).encode()
        size = len(text)
        add(_SIZES[size] if size < len(_SIZES) else b"$%d" % size)
        add(text)
    add(b"")
    return b"\r\n".join(parts)


class Call(NamedTuple):
    """Run a script on one shard, named by its tag, or on the key that is about all of them."""

    script: Script
    tag: str
    base: bytes
    at: str
    arguments: Words

    def sent(self, nonce: bytes) -> bytes:
        """Give the command that names the script, as it goes over the wire."""
        return packed((self.base, nonce, self.at, *self.arguments), self.script.head, 3)

    def by_digest(self, nonce: bytes) -> Words:
        """Give the command that names the script."""
        return ("EVALSHA", self.script.digest, 1, self.base, nonce, self.at, *self.arguments)

    def by_source(self, nonce: bytes) -> Words:
        """Give the command that carries the script, for a server that does not know it."""
        return ("EVAL", self.script.source, 1, self.base, nonce, self.at, *self.arguments)


@frozen(eq=False)
class Survey:
    """Ask many shards plain questions, those of one server at once. The replies are in the order of the questions."""

    questions: Sequence[tuple[str, Words]]
    """A tag and a command for each."""


@frozen(eq=False)
class Inspect:
    """Ask servers plain questions over connections of their own; an error is a reply, too.

    Replies: one list per address that could be reached, or the error that says why it could not.
    """

    addresses: Sequence["Address"]
    commands: Sequence[Words]
    of_sentinels: bool = False
    seconds: float | None = None
    """How long to wait for each of them, if not as long as for any answer."""


@frozen(order=True, cache_hash=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# Scripts that change nothing.
_READS: Final = frozenset(
    {"ended_before", "get", "identify", "leased_until", "page", "page_of_owner", "records", "shards_of_owner"}
)


def reaches(call: "Call") -> tuple[str, Part, Mode]:
    """Give the point at which a script is about to be sent: what it does to which shard."""
    return call.script.name, Part("redis", call.tag), "r" if call.script.name in _READS else "w"


META: Final = "meta"
"""Stands for a tag where the key is about all shards."""

Ask = Call | Survey | Inspect
Procedure = Generator[Ask, Any, R]


def own_reply(reply: Any, nonce: bytes, operation: str) -> Any:
    """Give the reply to a script without its nonce.

    Raises:
        IdentityMismatchError: it is the reply to another request.
    """
    if type(reply) is not list or not reply or reply[0] != nonce:
        raise IdentityMismatchError("redis", operation, "nonce")
    return reply


def fenced(commands: Sequence[Words], nonce: bytes) -> list[Words]:
    """Give the commands of a survey between two that are answered with the nonce."""
    return [("ECHO", nonce), *commands, ("ECHO", nonce)]


def within_fence(replies: Sequence[Any], nonce: bytes) -> list[Any]:
    """Give the replies to the commands of a survey, or raise the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    if replies[0] != nonce or replies[-1] != nonce:
        raise IdentityMismatchError("redis", "survey", "nonce")
    return list(replies[1:-1])
