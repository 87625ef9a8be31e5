"""What an adoption is told, and what it tells: which table, what a slot is in it, which rows were ended."""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from sessionguard.errors import ConfigurationError

NOW: Final = "now()"
"""As the value of a column: the instant of the adoption."""

_LONGEST_NAME: Final = 63


def _column(setting: str, name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name.encode()) <= _LONGEST_NAME or "\0" in name:
        raise ConfigurationError(setting, name, "name a column, as it is written in the table")
    return name


def _cut(name: str, length: int) -> str:
    return name.encode()[:length].decode(errors="ignore")


@frozen
class Adoption:
    """Which table, what a slot is in it, which rows are active, which of those is the newest, and how one is ended."""

    table: str
    """The name in the schema public, or schema.name; as it is written in the catalogue."""
    slot: tuple[str, ...]
    active: tuple[str, str | None]
    """A column and the value that it has in active rows; None: it is NULL in them."""
    newest: str
    """The column by which the newest is told: the highest value, and of equal ones the highest primary key."""
    end: Mapping[str, str]
    """Column -> what is written there to end a row."""

    def __attrs_post_init__(self) -> None:
        parts = self.table.split(".") if isinstance(self.table, str) else []
        if len(parts) not in (1, 2) or not all(parts) or "\0" in self.table:
            raise ConfigurationError("table", self.table, "name it as table or schema.table")
        if not self.slot:
            raise ConfigurationError(
                "slot", self.slot, "name the columns of which one combination is to be active once"
            )
        for setting, names in self.columns.items():
            for name in names:
                _column(setting, name)
        self._require_that_it_ends()

    def _require_that_it_ends(self) -> None:
        column, value = self.active
        for setting, text in (("active", value or ""), *(("end", text) for text in self.end.values())):
            if "\0" in text:
                raise ConfigurationError(setting, text, "PostgreSQL holds no NUL characters")
        if self.end.get(column, value) == value:
            raise ConfigurationError(
                "end", dict(self.end), f"set {column} to something else than in active rows, so that they are ended"
            )

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """What was said -> the columns that it names."""
        return {"slot": self.slot, "newest": (self.newest,), "active": (self.active[0],), "end": tuple(self.end)}

    @property
    def ends(self) -> str:
        """What is written to end a row, as it is to be shown."""
        return ", ".join(f"{name}={value}" for name, value in self.end.items())

    @property
    def index(self) -> str:
        """The name of the unique index: of this table and this slot, however long their names are."""
        schema, _, name = self.table.rpartition(".")
        whole = json.dumps([schema or "public", name, *sorted(self.slot)])
        return f"sg_one_active_{_cut(name, 40)}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


@frozen
class Duplicate:
    """An active row beside a newer one of its slot."""

    key: Mapping[str, str]
    """The primary key of the row that is ended."""
    slot: Mapping[str, str]
    kept: Mapping[str, str]
    """The primary key of the row that stays."""


@frozen
class Adopted:
    """What an adoption did, or with `dry_run` would do."""

    row_count: int
    """Rows in the table."""
    active_count: int
    """Those of them that were active."""
    ended: tuple[Duplicate, ...]
    without_slot: int
    """Active rows with NULL in a column of the slot: the index does not look at them, and they stay as they are."""
    untried_count: int
    """Rows to be ended on which a dry run did not try that: there were too many, or others had them locked."""
    indexes: tuple[str, ...]
    """The unique indexes that were made, or with `dry_run` would be."""
    dry_run: bool
    renumbered_count: int = 0
    """Sessions of our own table that were given a new generation, for another of their slot had theirs."""
