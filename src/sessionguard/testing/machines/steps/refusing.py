"""Steps that pass what must be refused: an error that names the argument, and nothing has changed."""

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen

from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.steps.opening import Verb
from sessionguard.testing.machines.steps.shown import shown
from sessionguard.testing.machines.steps.step import SessionStep, Step, refused
from sessionguard.testing.machines.world import World


@frozen(kw_only=True)
class RefusesOpening(Step):
    """Opens with an argument that must not be accepted."""

    verb: Verb
    arguments: Mapping[str, Any] = field(factory=dict, repr=shown)
    """What is not as it should be."""
    reads_only: ClassVar[bool] = True

    def ask(self, hand: Hand, about: Any) -> Any:
        arguments = {"owner": "somebody", **self.arguments}
        return getattr(hand.guard(self.via), self.verb)(**arguments)

    def judge(self, world: World, told: Told) -> World:
        refused(told, InvalidArgumentError)
        return world


@frozen(kw_only=True)
class RefusesSaving(SessionStep):
    """Saves what no session can hold. It is refused whether or not the session has ended."""

    changes: Mapping[Any, Any] = field(factory=dict, repr=shown)
    reads_only: ClassVar[bool] = True

    def ask(self, hand: Hand, about: Any) -> Any:
        return hand.guard(self.via).save(about, self.changes)

    def judge(self, world: World, told: Told) -> World:
        refused(told, InvalidArgumentError)
        return world


@frozen(kw_only=True)
class RefusesOwner(SessionStep):
    """Logs in as nobody, or ends the sessions of nobody."""

    owner: Any
    verb: str
    reads_only: ClassVar[bool] = True

    def ask(self, hand: Hand, about: Any) -> Any:
        guard = hand.guard(self.via)
        return guard.rotate(about, owner=self.owner) if self.verb == "rotate" else guard.end_owner(self.owner)

    def judge(self, world: World, told: Told) -> World:
        refused(told, InvalidArgumentError)
        return world
