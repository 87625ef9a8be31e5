"""Encounters within one session: who writes, rotates, reads and ends it, in every order."""

from collections.abc import Mapping, Sequence
from typing import Any

from sessionguard.core.driving import Flow, perform
from sessionguard.testing.contracts.encounters import Encounter, Meeting, Part, asks, encounter


class _InOneSession(Encounter):
    def prepare(self, m: Meeting) -> Flow[Any]:
        return (yield from perform(m.s.create(m.owner, data={"first": 0}))).record


@encounter
class SavesMeetSaves(_InOneSession):
    """Saves of different fields all survive, each as one version, and whoever reads sees whole ones."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [asks(m.s.save(subject, {"a": 1, "both": "a"}))],
            "b": [asks(m.s.save(subject, {"b": 1, "both": "b"}))],
            "c": [asks(m.s.save(subject, {"c": 1}, remove=("first",)))],
        }


@encounter
class StrictSavesMeetSaves(_InOneSession):
    """Of saves that expect a version each is done if and only if that is the stored one, also between others."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [asks(m.s.save(subject, {"n": "a"}, expected_version=1))],
            "b": [asks(m.s.save(subject, {"n": "b"}, expected_version=1))],
            "merges": [asks(m.s.save(subject, {"m": 1})), asks(m.s.save(subject, {"m": 2}, expected_version=2))],
        }


@encounter
class SavesMeetAnEnd(_InOneSession):
    """A save that meets the end of its session is done before it or refused; nothing brings the session back."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [asks(m.s.save(subject, {"a": 1}))],
            "b": [asks(m.s.save(subject, {"b": 1})), asks(m.s.load(subject))],
            "ends": [asks(m.s.end(subject))],
        }


@encounter
class EndsMeetEnds(_InOneSession):
    """Of callers who end one session each for another reason one is the first, and its reason stays."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "a": [asks(m.s.end(subject, "reason-a")), asks(m.s.get(subject))],
            "b": [asks(m.s.end(subject, "reason-b"))],
            "ends all": [asks(m.s.end_owner(m.owner))],
        }


@encounter
class ARotationMeetsLoads(_InOneSession):
    """While a token is rotated the old one and the new one lead to the session, and of two rotations one is done."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        rotation = m.s.rotate(subject)
        return {
            "rotates": [asks(rotation)],
            "also": [asks(m.s.rotate(subject))],
            "loads": [asks(m.s.load(subject)), asks(m.s.load(rotation.token_hash))],
        }


@encounter
class DifferentWritersMeet(_InOneSession):
    """A save, a touch and a rotation in one session undo nothing of each other."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "saves": [asks(m.s.save(subject, {"a": 1}))],
            "touches": [asks(m.s.touch(subject))],
            "rotates": [asks(m.s.rotate(subject))],
        }


@encounter
class LoadsMeetAnEnd(_InOneSession):
    """Whoever asks after the end was answered is told so: nothing that was read before is given out again."""

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "loads": [asks(m.s.load(subject)), asks(m.s.load(subject))],
            "ends": [asks(m.s.end(subject))],
            "gets": [asks(m.s.get(subject))],
        }


@encounter
class ALoginMeetsEndOwner(_InOneSession):
    """A session that an owner receives is ended by an `end_owner` asked later, and by none that was answered before."""

    def prepare(self, m: Meeting) -> Flow[Any]:
        return (yield from perform(m.s.create(m.visitor))).record

    def callers(self, m: Meeting, subject: Any) -> Mapping[str, Sequence[Part]]:
        return {
            "logs in": [asks(m.s.rotate(subject, owner=m.owner)), asks(m.s.end_owner(m.owner))],
            "ends all": [asks(m.s.end_owner(m.owner))],
            "saves": [asks(m.s.save(subject, {"a": 1}))],
        }

    def aftermath(self, m: Meeting, subject: Any, seen: Sequence[str]) -> Flow[None]:
        yield from super().aftermath(m, subject, seen)
        yield from perform(m.s.end_owner(m.visitor))
