"""Reads that are answered on an event loop: at once by an idle connection, or not at all."""

import sqlite3
import time
from pathlib import Path

import pytest

from sessionguard.core import commands as c
from sessionguard.stores.sqlite import SQLiteStore, connecting, connections
from sessionguard.testing.contracts.stage import Stage
from tests.stores.sqlite.conftest import OpenStore


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are opened from here on."""
    opened: list[str] = []

    def noted(path: str, mode: str) -> sqlite3.Connection:
        opened.append(path)
        return connecting.connect(path, mode)

    monkeypatch.setattr(connections, "connect", noted)
    return opened


def test_a_read_is_answered_by_an_idle_connection(store: SQLiteStore, stage: Stage, opens: list[str]) -> None:
    """What was opened before can be loaded without a thread."""
    opened = store.create(stage.create()).record
    assert store.answer_inline(stage.load(opened)) == c.Loaded(opened)
    assert opens == []


def test_nothing_is_opened(path: Path, open_store: OpenStore, stage: Stage, opens: list[str]) -> None:
    """Before the first use, and while every connection is lent, the answer is: ask in a thread."""
    store = open_store()
    assert store.answer_inline(c.Identify()) is None
    assert not path.exists()
    store.identify(c.Identify())
    lent = store._connections.take()
    assert len(opens) == 1
    assert store.answer_inline(c.Identify()) is None
    assert len(opens) == 1
    store._connections.give_back(lent)
    assert store.answer_inline(c.Identify()) is not None


@pytest.mark.parametrize("lost", ["", "-wal"])
def test_a_loss_is_left_to_a_thread(path: Path, store: SQLiteStore, stage: Stage, lost: str, opens: list[str]) -> None:
    """A file or log that is gone is neither checkpointed nor replaced on the loop; the thread will see it too."""
    path.with_name(f"{path.name}{lost}").unlink()
    store._connections._watch.log_check_due = 0.0
    assert store.answer_inline(c.Identify()) is None
    assert opens == []
    with pytest.raises(Exception, match="in use"):
        store.identify(c.Identify())


def test_a_locked_file_does_not_hold_the_loop(path: Path, open_store: OpenStore, stage: Stage) -> None:
    """While another program has the file for itself, the answer is None, without any wait."""
    store = open_store(journal_mode="delete")
    opened = store.create(stage.create()).record
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    assert store.answer_inline(stage.load(opened)) is None
    lent = store._connections.take()
    assert store.answer_inline(stage.load(opened)) is None
    assert time.monotonic() - began < 4  # Its patience is 5 seconds.
    store._connections.give_back(lent)
    other.close()
