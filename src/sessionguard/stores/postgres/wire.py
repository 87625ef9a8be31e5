"""The statement of each verb, and what stands around it where nothing may be left on a connection."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from attrs import frozen

from sessionguard.stores.postgres.exchanges import MakeExchange, PreparedExchange, WholeExchange
from sessionguard.stores.postgres.settings import Settings

# Verb -> how many parameters its function takes.
ARITIES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "identify": 1,
        "create": 13,
        "get_or_create": 13,
        "replace": 13,
        "create_limited": 15,
        "get_or_create_limited": 15,
        "replace_limited": 15,
        "load": 5,
        "get": 3,
        "page": 8,
        "save": 9,
        "save_of": 10,
        "touch": 3,
        "touch_of": 4,
        "rotate": 7,
        "rotate_limited": 9,
        "end": 4,
        "end_of": 5,
        "end_owner": 6,
        "sweep": 3,
        "purge": 4,
        "census": 4,
        "find_due": 3,
        "take_turn": 5,
        "give_turn": 4,
        "acquire_lock": 6,
        "acquire_lock_of": 7,
        "renew_lock": 6,
        "release_lock": 4,
        "hold_lease": 5,
        "hold_lease_of": 6,
        "release_lease": 4,
        "leased_until": 3,
    }
)

_HEADING: Final = re.compile(r"^-- (name|macro): (\w+)$", re.MULTILINE)


@frozen
class Wire:
    """The messages of one store."""

    statements: Mapping[str, bytes]
    """Verb -> what is sent."""
    exchange: MakeExchange


def wire_of(settings: Settings) -> Wire:
    """Give the messages for a schema; its name was checked."""
    schema = f'"{settings.schema}"'
    if settings.prepare:
        calls = {verb: _call(schema, verb, [f"${n + 1}" for n in range(arity)]) for verb, arity in ARITIES.items()}
        return Wire(_encoded(calls | _written(schema)), PreparedExchange)
    before = (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
        f"SET LOCAL statement_timeout = {settings.patience_ms}; SET LOCAL lock_timeout = {settings.patience_ms}; "
        "SET LOCAL plan_cache_mode = force_generic_plan; "
    )
    whole = {verb: f"{before}{_call(schema, verb, ['%s'] * arity)}; COMMIT" for verb, arity in ARITIES.items()}
    return Wire(_encoded(whole), WholeExchange)


def _call(schema: str, verb: str, places: list[str]) -> str:
    return f"SELECT * FROM {schema}.sg_{verb}({', '.join(places)})"


def _written(schema: str) -> dict[str, str]:
    text = files(__package__).joinpath("statements.sql").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    macros: dict[str, str] = {"schema": schema}
    statements: dict[str, str] = {}
    for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        filled = re.sub(r"@(\w+)", lambda found: macros[found[1]], body.strip())
        (macros if kind == "macro" else statements)[name] = filled
    return statements


def _encoded(texts: Mapping[str, str]) -> Mapping[str, bytes]:
    return MappingProxyType({verb: text.encode("ascii") for verb, text in texts.items()})
