"""Encounters for a slot: who opens, replaces and closes its one session, in every order."""

from collections.abc import Mapping, Sequence
from typing import Any

from sessionguard.core.driving import Flow, perform
from sessionguard.testing.contracts.encounters import Encounter, Meeting, Part, asks, encounter


class _OnOneSlot(Encounter):
    def prepare(self, m: Meeting) -> Flow[Any]:
        return (yield from perform(m.s.get_or_create(m.owner, data={"first": 0}))).record


@encounter
class ThreeOpenOneSlot(Encounter):
    """Callers who open one empty slot all get its one session, and one of them is told that it is new."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {name: [asks(m.s.get_or_create(m.owner, data={"by": name}))] for name in "abc"}


@encounter
class OpeningsMeetAnEnd(_OnOneSlot):
    """A session that is ended while others open its slot is given out no more; the slot has one session at a time."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [asks(m.s.get_or_create(m.owner)), asks(m.s.get_or_create(m.owner))],
            "b": [asks(m.s.get_or_create(m.owner))],
            "ends": [asks(m.s.end(subject))],
        }


@encounter
class ReplacementsMeetASave(_OnOneSlot):
    """Of callers who replace a session each ends the one before; a save is done before that or refused."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [asks(m.s.replace(m.owner))],
            "b": [asks(m.s.replace(m.owner))],
            "saves": [asks(m.s.save(subject, {"late": 1}, expected_version=1)), asks(m.s.load(subject))],
        }


@encounter
class OpeningsMeetEndOwner(_OnOneSlot):
    """`end_owner` ends every session that was opened before it was asked, in a slot or in none, and none twice."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "creates": [asks(m.s.create(m.owner)), asks(m.s.end_owner(m.owner))],
            "opens": [asks(m.s.get_or_create(m.owner))],
            "ends all": [asks(m.s.end_owner(m.owner))],
        }


@encounter
class OneCommandComesAtOnce(_OnOneSlot):
    """An opening that its client sends again before it was answered is one opening, whatever comes between."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        replace = m.s.replace(m.owner)
        return {"a": [asks(replace)], "again": [asks(replace)], "ends": [asks(m.s.end(replace.new))]}


@encounter
class AListMeetsAReplacement(_OnOneSlot):
    """A list that is asked while the session of a slot is replaced shows one active session of the slot."""

    needs = "listing"

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "replaces": [asks(m.s.replace(m.owner))],
            "lists": [asks(m.s.page(owner=m.owner)), asks(m.s.page(owner=m.owner, status="ended"))],
            "opens": [asks(m.s.get_or_create(m.owner))],
        }
