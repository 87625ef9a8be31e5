"""What child processes of these tests do; imported by name in a clean process."""

from collections.abc import Callable
from multiprocessing.connection import Connection

from sessionguard.core import commands as c
from sessionguard.stores.postgres import PostgresStore
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.faults import at_once


def first_use(pipe: Connection, url: str, schema: str) -> str:
    """Use a store for the first time, together with the others."""
    store = PostgresStore(url, schema=schema)
    at_once(pipe)
    try:
        return store.identify(c.Identify())
    finally:
        store.close()


def write_without_end(acknowledge: Callable[[object], object], url: str, schema: str, session_id: str) -> None:
    """Save a growing number, and acknowledge each that is stored."""
    store = PostgresStore(url, schema=schema)
    stage = Stage("0" * 32)
    record = store.get(c.Get(session_id, None))
    assert record is not None
    number = 0
    while True:
        number += 1
        store.save(stage.save(record, {"n": number}))
        acknowledge(number)
