"""One command of every verb, about sessions that are made for it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.stores.postgres import PostgresStore
from sessionguard.testing.contracts.stage import IDLE, RETENTION, TOUCH, Stage


@frozen
class Scene:
    """A session to ask about, another that has ended, and what builds commands."""

    stage: Stage
    session: SessionRecord

    @property
    def owner(self) -> str:
        """Whose session it is."""
        return self.session.owner


def scene(store: PostgresStore, stage: Stage, number: int = 0) -> Scene:
    """Open an exclusive session of an owner of its own, with a lock that `one` holds."""
    opened = store.get_or_create(stage.get_or_create(f"owner {number}", data={"n": 0})).record
    store.acquire_lock(stage.acquire(opened, "one", "held"))
    return Scene(stage, opened)


COMMANDS: Final[Mapping[str, Callable[[Scene], c.Command[Any]]]] = MappingProxyType(
    {
        "identify": lambda s: c.Identify(),
        "create": lambda s: s.stage.create(s.owner),
        "get_or_create": lambda s: s.stage.get_or_create(s.owner),
        "get_or_create, touch due": lambda s: s.stage.get_or_create(s.owner, at=TOUCH),
        "get_or_create, expired": lambda s: s.stage.get_or_create(s.owner, at=IDLE),
        "get_or_create, empty": lambda s: s.stage.get_or_create(f"{s.owner}'s friend"),
        "replace": lambda s: s.stage.replace(s.owner),
        "load": lambda s: s.stage.load(s.session),
        "load, touch due": lambda s: s.stage.load(s.session, at=TOUCH),
        "load, unknown": lambda s: s.stage.load(s.stage.new()),
        "get": lambda s: s.stage.get(s.session),
        "page": lambda s: s.stage.page(owner=s.owner),
        "save": lambda s: s.stage.save(s.session, {"n": 1}),
        "save, conflict": lambda s: s.stage.save(s.session, {"n": 1}, expected_version=9),
        "touch": lambda s: s.stage.touch(s.session),
        "rotate": lambda s: s.stage.rotate(s.session),
        "end": lambda s: s.stage.end(s.session),
        "end_owner": lambda s: s.stage.end_owner(s.owner),
        "sweep": lambda s: s.stage.sweep(at=IDLE),
        "purge": lambda s: s.stage.purge(at=RETENTION),
        "acquire_lock": lambda s: s.stage.acquire(s.session, "one", "free"),
        "renew_lock": lambda s: s.stage.renew(s.session, "one", "held"),
        "release_lock": lambda s: s.stage.release(s.session, "one", "held"),
        "load, not to be seen": lambda s: s.stage.load(s.session, extends=False, at=TOUCH),
        "hold_lease": lambda s: s.stage.hold(s.session, s.stage.operation()),
        "release_lease": lambda s: s.stage.let_go(s.session, s.stage.operation()),
        "leased_until": lambda s: s.stage.leased(s.session),
    }
)
"""What is asked -> the command that asks it."""


def as_role(url: str, role: str) -> str:
    """Give the URL of the same database for another role, without a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role}@{rest.rpartition('@')[2]}"
