"""Which questions of a survey go to which server, and their replies in the order of the questions."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from sessionguard.stores.redis.asking import Survey, Words

Server = TypeVar("Server", bound=Hashable)


def by_server(ask: Survey, server_of: Callable[[str], Server]) -> list[tuple[Server, list[int], list[Words]]]:
    """Give for every server the positions of its questions and their commands."""
    parts: dict[Server, tuple[list[int], list[Words]]] = {}
    for position, (tag, command) in enumerate(ask.questions):
        positions, commands = parts.setdefault(server_of(tag), ([], []))
        positions.append(position)
        commands.append(command)
    return [(server, positions, commands) for server, (positions, commands) in parts.items()]


def in_order(answered: Iterable[tuple[Sequence[int], Sequence[Any]]]) -> list[Any]:
    """Give the replies of all servers in the order of the questions."""
    replies = {position: reply for positions, some in answered for position, reply in zip(positions, some, strict=True)}
    return [replies[position] for position in range(len(replies))]
