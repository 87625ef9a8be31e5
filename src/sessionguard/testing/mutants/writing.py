"""Planted bugs in saving and touching: lost updates, resurrections, and touches that carry data."""

import json
from collections.abc import Mapping

from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.data import decode, join_fields
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Entry
from sessionguard.testing.mutants.planting import Gap, planted


@planted("a_late_save_never_resurrects", "logout_under_a_slow_request", "a_save_of_a_replaced_session_is_refused")
class UpsertOnSave(ModelStore):
    """`save` writes the record whether or not the session has ended, so a slow request undoes a logout."""

    def save(self, command: c.Save) -> c.Changed:
        with self.step():
            entry = self.entries.get(command.session_id)
            if entry is None:
                return c.Changed(Outcome.ENDED, None)
            entry.record = evolve(entry.record, reason=None, ended_us=None)
            return self.write(entry, command)


@planted("every_field_survives", "different_writers_undo_nothing")
class WritesBackTheWholeRecord(Gap):
    """`save` reads the record, changes its copy and writes the whole copy back: what came between is lost."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        copy = Entry(entry.record, entry.lifetime, entry.operations)
        self.gap()
        written = super().write(copy, command)
        entry.record = copy.record
        return written


@planted("nothing_is_saved_after_the_end")
class SavesWhatHasJustEnded(Gap):
    """`save` looks whether the session is active and writes in a second step, so it brings back what ended between."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        copy = Entry(entry.record, entry.lifetime, entry.operations)
        self.gap(until=lambda: entry.record.reason is not None)
        written = super().write(copy, command)
        entry.record = copy.record
        return written

    def end(self, command: c.End) -> c.Changed:
        with self.step():
            self.await_gap()
        return super().end(command)


@planted("one_expected_version_wins")
class ComparesThenWrites(Gap):
    """Compares the version and writes in a second step, so two saves that expect the same version are both done."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        self.gap()
        return super().write(entry, command)


@planted("an_expected_version_must_match", "one_expected_version_wins")
class IgnoresTheVersion(ModelStore):
    """`save` does not look at the expected version."""

    def save(self, command: c.Save) -> c.Changed:
        return super().save(evolve(command, expected_version=None))


@planted("save_replaces_whole_fields", "saves_from_stale_records_merge", "every_field_survives")
class ReplacesAllData(ModelStore):
    """`save` stores the changed fields as the whole data."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        entry.record = evolve(entry.record, data="{}")
        return super().write(entry, command)


@planted("save_replaces_whole_fields")
class MergesDeeply(ModelStore):
    """`save` merges objects field by field at every depth, so what was to be gone inside them stays."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        stored = decode(entry.record.data)
        changes = {
            name: json.dumps(stored[name] | json.loads(value)) if _are_objects(stored.get(name), value) else value
            for name, value in command.changes.items()
        }
        return super().write(entry, evolve(command, changes=changes))


@planted("save_does_not_extend")
class SaveExtends(ModelStore):
    """`save` extends the session as if it had been seen."""

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        entry.record = evolve(entry.record, expires_us=entry.record.expires_us + 1)
        return super().write(entry, command)


@planted("data_over_the_limit_is_refused")
class CountsCharacters(ModelStore):
    """Measures data in characters where the limit is in bytes."""

    def size(self, data: str) -> int:
        return len(data)


@planted("touch_carries_no_data", "a_touch_on_load_carries_no_data")
class TouchCarriesData(ModelStore):
    """A touch writes the record back as this process had loaded it, over what others have saved since."""

    def __init__(self) -> None:
        super().__init__()
        self._loaded: dict[str, SessionRecord] = {}

    def load(self, command: c.Load) -> c.Loaded:
        loaded = super().load(command)
        if loaded.record is not None and not loaded.touched:
            self._loaded[loaded.record.id] = loaded.record
        return loaded

    def extend(self, entry: Entry, now_us: int) -> None:
        super().extend(entry, now_us)
        stale = self._loaded.get(entry.record.id, entry.record)
        entry.record = evolve(entry.record, data=stale.data, version=stale.version)


@planted("different_writers_undo_nothing")
class TouchWritesTheWholeRecord(Gap):
    """`touch` reads the record, extends its copy and writes the whole copy back: a save that came between is lost."""

    def extend(self, entry: Entry, now_us: int) -> None:
        copy = Entry(entry.record, entry.lifetime, entry.operations)
        self.gap()
        super().extend(copy, now_us)
        entry.record = copy.record

    def save(self, command: c.Save) -> c.Changed:
        with self.step():
            self.await_gap()
        return super().save(command)


@planted("commands_can_be_changed_after_use")
class KeepsTheMapping(ModelStore):
    """Keeps the changes of a save as they came, by reference, and applies them when it reads."""

    def __init__(self) -> None:
        super().__init__()
        self._changes: dict[str, list[Mapping[str, str]]] = {}

    def write(self, entry: Entry, command: c.Save) -> c.Changed:
        self._changes.setdefault(command.session_id, []).append(command.changes)
        return super().write(entry, command)

    def get(self, command: c.Get) -> SessionRecord | None:
        record = super().get(command)
        if record is None:
            return None
        data = decode(record.data)
        for changes in self._changes.get(record.id, []):
            data |= json.loads(join_fields(changes))
        return evolve(record, data=json.dumps(data))


@planted("json_values_survive_saving", "json_values_survive_opening")
class HasOneKindOfNumber(ModelStore):
    """Keeps numbers as an engine with one kind of number does: 1.0 comes back as 1, large integers lose digits."""

    def get(self, command: c.Get) -> SessionRecord | None:
        record = super().get(command)
        if record is None:
            return None
        floats = json.loads(record.data, parse_int=float)
        return evolve(record, data=json.dumps(floats).replace(".0,", ",").replace(".0}", "}"))


def _are_objects(stored: object, value: str) -> bool:
    return isinstance(stored, dict) and value.startswith("{")
