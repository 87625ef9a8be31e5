"""The statements of `statements.sql` by name, with their macros filled in."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from sessionguard.core.records import REMEMBERED_OPERATIONS

_HEADING: Final = re.compile(r"^-- (name|macro): (\w+)$", re.MULTILINE)


def _parse(text: str) -> Mapping[str, str]:
    _, *parts = _HEADING.split(text)
    macros = {"kept": str(REMEMBERED_OPERATIONS)}
    statements: dict[str, str] = {}
    for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        filled = re.sub(r"@(\w+)", lambda found: macros[found[1]], body.strip())
        (macros if kind == "macro" else statements)[name] = filled
    return MappingProxyType(statements)


STATEMENTS: Final = _parse(files(__package__).joinpath("statements.sql").read_text(encoding="utf-8"))
