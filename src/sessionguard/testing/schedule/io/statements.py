"""What an SQL statement reaches: the tables that it names, or, where that cannot be told, the whole database."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from attrs import frozen

from sessionguard.core.points import Part
from sessionguard.testing.schedule.io.listening import Access, Mode
from sessionguard.testing.schedule.io.naming import Place, stable

_NOISE: Final = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_NAME: Final = r'(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|[^\W\d][\w$]*)'
_TABLE: Final = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_AFTER: Final = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|TRUNCATE)\s+(?:(?:OR\s+\w+|IF\s+(?:NOT\s+)?EXISTS|ONLY|LATERAL|TABLE)\s+)*"
    rf"({_TABLE}(?:\s+(?:AS\s+)?(?!(?:SET|WHERE|JOIN|ON|USING|VALUES|SELECT)\b){_NAME})?(?:\s*,\s*{_TABLE})*)",
    re.IGNORECASE,
)
_COMMON: Final = re.compile(rf"(?:\bWITH\b(?:\s+RECURSIVE)?|,)\s*({_NAME})\s*(?:\([^()]*\)\s*)?AS\s", re.IGNORECASE)
_FIRST: Final = re.compile(r"[^\W\d]\w*")
_WRITES: Final = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE|MERGE)\b", re.IGNORECASE)
_CALLED: Final = re.compile(rf"\b(?:FROM|JOIN)\s+{_TABLE}\s*\(", re.IGNORECASE)
"""A function where a table might stand; it may do anything."""
_CALLS: Final = re.compile(r"\b\w+\s*\(")
_BEGINS: Final = frozenset({"BEGIN", "START", "SAVEPOINT"})
_ENDS: Final = frozenset({"COMMIT", "END"})
_TAKEN_BACK: Final = frozenset({"ROLLBACK", "ABORT", "RELEASE"})
_SETTINGS: Final = frozenset({
    "PRAGMA", "SET", "RESET", "SHOW", "EXPLAIN", "DISCARD", "LISTEN", "UNLISTEN", "DEALLOCATE", "DECLARE", "FETCH",
    "CLOSE", "MOVE", "ATTACH", "DETACH",
})  # fmt: skip
_ROW_NAME_CHARACTERS: Final = 4


@frozen
class Statement:
    """What is known of a statement by its text alone."""

    verb: str
    tables: tuple[str, ...]
    is_write: bool
    calls: bool
    """Whether it calls functions, which may do anything if no table is named."""
    locks_at_once: bool
    """Whether it begins a transaction by taking the lock of the database."""

    @property
    def begins(self) -> bool:
        """Whether it begins a transaction."""
        return self.verb in _BEGINS

    @property
    def commits(self) -> bool:
        """Whether it lets others see what was written."""
        return self.verb in _ENDS

    @property
    def takes_back(self) -> bool:
        """Whether it ends a transaction, or a part of one, otherwise."""
        return self.verb in _TAKEN_BACK

    def access(self, database: Place, parameters: object = ()) -> Access | None:
        """Give what it reaches in this database; None if that is nothing others share."""
        if self.begins and not self.locks_at_once:
            return None
        if self.verb in _SETTINGS or self.takes_back:
            return None
        if self.begins or self.commits:
            return Access(self.verb, [(database, "w")])
        mode: Mode = "w" if self.is_write else "r"
        if self.tables:
            label = f"{self.verb} {', '.join(map(stable, self.tables))}"
            return Access(label, [(Part(database, table), mode) for table in self.tables], rows_of(parameters))
        if self.verb in ("SELECT", "VALUES") and not self.calls:
            return None
        return Access(self.verb, [(database, "w")], rows_of(parameters))


@lru_cache(maxsize=1_000)
def parsed(text: str) -> Statement:
    """Read a statement; of several in one text, all are taken together."""
    bare = _NOISE.sub(" '' ", text)
    first = _FIRST.search(bare)
    verb = first[0].upper() if first else ""
    writes = _WRITES.findall(re.sub(r"\b(?:FOR|DO|OR)\s+(?:NO\s+KEY\s+)?(?:UPDATE|REPLACE)\b", " ", bare, flags=re.I))
    if verb == "WITH":
        verb = writes[0].upper() if writes else "SELECT"
    locks_rows = bool(re.search(r"\bFOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|SHARE)\b", bare, re.I))
    calls_a_function = bool(_CALLED.search(bare))
    is_read = verb in ("SELECT", "VALUES") and not writes and not locks_rows and not calls_a_function
    at_once = bool(re.match(r"\s*BEGIN\s+(?:IMMEDIATE|EXCLUSIVE)\b", bare, re.I))
    tables = () if calls_a_function else _tables(bare)
    return Statement(verb, tables, not is_read, bool(_CALLS.search(bare)), at_once)


def _tables(bare: str) -> tuple[str, ...]:
    common = {_plain(name) for name in _COMMON.findall(bare)}
    found = []
    cleaned = re.sub(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b|\bDO\s+UPDATE\b", " ", bare, flags=re.I)
    for names in _AFTER.findall(cleaned):
        for name in names.split(","):
            plain = _plain(re.split(r"(?<=[\w\"`\]])\s+(?!\.)", name.strip(), maxsplit=1)[0])
            if plain and plain.upper() not in ("SET", "SELECT"):
                found.append(plain)
    return tuple(name for name in dict.fromkeys(found) if name not in common)


def _plain(name: str) -> str:
    """Give the last part of a name, as the database compares it."""
    return name.rpartition(".")[2].strip().strip('"`[]').lower()


def rows_of(parameters: object) -> frozenset[object]:
    """Give the parameters by which a statement may name its rows: texts and bytes, of whatever depth."""
    found: set[object] = set()
    _collect(parameters, found)
    return frozenset(found)


def _collect(parameters: object, found: set[object]) -> None:
    if isinstance(parameters, str | bytes):
        if len(parameters) >= _ROW_NAME_CHARACTERS:
            found.add(parameters)
    elif isinstance(parameters, dict):
        _collect(list(parameters.values()), found)
    elif isinstance(parameters, Sequence | set | frozenset):
        for each in parameters:
            _collect(each, found)
