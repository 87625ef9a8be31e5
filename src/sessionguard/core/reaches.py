"""What each command reaches of a place that keeps sessions: one shard of it or all of it, to read or to write."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Literal, NamedTuple

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core.leases import FindLease
from sessionguard.core.tokens import shard_of

Access = Literal["r", "w"]


class Part(NamedTuple):
    """Something of which others are independent parts, while what is done to the whole is done to each of them."""

    whole: Hashable
    name: str

    def __str__(self) -> str:
        return f"{self.whole}/{self.name}"


_NAMES: Final[Mapping[type, Callable[[Any], str | bytes | None]]] = {
    c.Identify: lambda command: "identity",
    c.Load: lambda command: command.token_hash,
    # A session of the owner may be of any shard: it was received there.
    c.EndOwner: lambda command: None,
    c.Page: lambda command: None,
    c.Sweep: lambda command: None,
    c.Purge: lambda command: None,
    f.Census: lambda command: None,
    f.FindDue: lambda command: None,
    f.TakeTurn: lambda command: "turns",
    f.GiveTurn: lambda command: "turns",
}

_READS: Final = frozenset({c.Identify, c.Get, c.Page, f.Census, f.FindDue, FindLease})


def reached(command: c.Command[Any], place: Hashable) -> tuple[Hashable, Access]:
    """Give the resource, which is `place` or a part of it, and whether `command` may change something there.

    Ids, tokens and owners of one shard begin with its tag, so commands about sessions of two shards never meet.
    """
    name = _NAMES.get(type(command), _session_of)(command)
    mode: Access = "r" if type(command) in _READS else "w"
    return (place if name is None else Part(place, shard_of(name))), mode


def _session_of(command: Any) -> str | None:
    if isinstance(command, c.Rotate) and command.owner is not None:
        return None  # It touches what is known of the owner, in another shard.
    new = getattr(command, "new", None)
    session_id: str = command.session_id if new is None else new.id
    return session_id
