"""Guards over every store, through a network that holds replies back where there is one, for the sweeps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from sessionguard import Session
from sessionguard.testing import TcpProxy

STORES: Final = ("memory", "file", "sqlite", "postgres", "redis")
DELAY_SECONDS: Final = 0.001


@frozen
class Place:
    """Where a store is to be opened."""

    kind: str
    url: str

    @property
    def has_network(self) -> bool:
        """Whether there is a server behind it."""
        return self.kind in ("postgres", "redis")


@contextmanager
def place_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give a place of its own for a store of this kind."""
    if kind in ("postgres", "redis"):
        server = request.getfixturevalue(f"{kind}_server")
        part = request.getfixturevalue("schema_name" if kind == "postgres" else "key_prefix")
        option = f"schema={part}" if kind == "postgres" else f"prefix={part}"
        with TcpProxy("127.0.0.1", server.port) as proxy:
            proxy.delay_seconds = DELAY_SECONDS
            url = proxy.url_of(server.url)
            yield Place(kind, f"{url}{'&' if '?' in url else '?'}{option}&pool=2")
        return
    paths = {"memory": "memory://", "file": f"file://{folder}/sessions", "sqlite": f"sqlite:///{folder}/sessions.db"}
    yield Place(kind, paths[kind])


def canary(session: Session | None) -> object:
    """Give what shows whose session it is."""
    return session and (session.owner, session.data.get("canary"))


Names = Callable[[], str]
