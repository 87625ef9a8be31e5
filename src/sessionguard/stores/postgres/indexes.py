"""The indexes of our own tables: how the migrations make them, and which of them are not as they should be."""

import re
from typing import Final

from sessionguard.stores.postgres.schema import MIGRATIONS, Script

OWN_INDEXES: Final = {
    name: statement
    for _, _, text in MIGRATIONS
    for statement, name in re.findall(r"^(CREATE (?:UNIQUE )?INDEX (\w+) .*?);$", text, re.DOTALL | re.MULTILINE)
}
"""Name -> the statement that makes it, with the schema as the search path."""


def wrong_indexes(schema: str) -> Script[tuple[list[str], list[str]]]:
    """Name those of ours that are missing or otherwise defined, and those that are invalid."""
    rows = yield (
        "SELECT c.relname::text, pg_get_indexdef(c.oid), i.indisvalid FROM pg_index AS i "
        "JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s",
        [schema],
    )
    there = {name: definition for name, definition, _ in rows}
    wrong = [name for name, made in OWN_INDEXES.items() if _essence(there.get(name, "")) != _essence(made)]
    return wrong, [name for name, _, is_valid in rows if not is_valid and name not in wrong]


def _essence(definition: str) -> list[str]:
    # The server adds its schema, the kind of index and brackets.
    without = re.sub(r" ON \S+ (USING btree )?", " ON ", definition)
    return re.findall(r"[\w+]+", without)
