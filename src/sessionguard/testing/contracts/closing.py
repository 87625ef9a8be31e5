"""Closing and connecting again: what ends with a store object, and what does not."""

from typing import Any, ClassVar

from attrs import frozen

from sessionguard.core.commands import Command
from sessionguard.core.driving import perform
from sessionguard.errors import MisuseError
from sessionguard.testing.contracts.cases import Steps, case
from sessionguard.testing.contracts.stage import Elsewhere, Stage


@frozen
class Close(Command[None]):
    """Close the connection that is asked."""

    verb: ClassVar[str] = "close"

    def apply(self, store: Any) -> Any:
        """Call it as a guard does."""
        return store.close()


@frozen
class Distrust(Command[None]):
    """Make the connection that is asked drop what it holds open."""

    verb: ClassVar[str] = "distrust"

    def apply(self, store: Any) -> Any:
        """Call it as a driver does after a reply that was not for what was asked."""
        return store.distrust()


@case
def nothing_works_after_closing(s: Stage) -> Steps:
    """Closing twice is fine; after it every verb raises `MisuseError` instead of an answer."""
    opened = (yield from perform(s.create())).record
    yield from perform(Close())
    yield from perform(Close())
    commands: tuple[Command[Any], ...] = (
        *(s.create(), s.get_or_create(), s.replace(), s.load(opened), s.get(opened), s.save(opened, {"n": 1})),
        *(s.touch(opened), s.rotate(opened), s.end(opened), s.end_owner("ana"), s.sweep(), s.purge()),
    )
    for command in commands:
        try:
            yield from perform(command)
        except MisuseError:
            continue
        raise AssertionError(f"{command.verb} was answered by a closed store")


@case
def distrust_loses_nothing(s: Stage) -> Steps:
    """Dropping the connections loses no session, and the next call connects again."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    yield from perform(Distrust())
    assert (yield from perform(s.load(opened))).record == opened
    yield from perform(Distrust())
    saved = (yield from perform(s.save(opened, {"n": 2}))).record
    assert (yield from perform(s.get_or_create("ana"))).record == saved


@case(needs="durable shared")
def sessions_outlive_every_connection(s: Stage) -> Steps:
    """After all connections are closed, a new one finds every session, its slot, its history and the deployment id."""
    opened = (yield from perform(s.get_or_create("ana", data={"n": 1}))).record
    former = (yield from perform(s.create("ana"))).record
    ended = (yield from perform(s.end(former))).record
    yield from perform(s.elsewhere(Close()))
    yield from perform(Close())
    later = s.connect()
    assert (yield from perform(Elsewhere(s.load(opened), later))).record == opened
    assert (yield from perform(Elsewhere(s.get_or_create("ana"), later))).record == opened
    assert (yield from perform(Elsewhere(s.get(former), later))) == ended
    successor = (yield from perform(Elsewhere(s.replace("ana"), later))).record
    assert successor.generation > opened.generation
    yield from perform(Elsewhere(Close(), later))
