"""Folders that are replaced, removed or moved while a store uses them: noticed, told once, recovered from."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.errors import StoreUnavailableError
from sessionguard.stores.file import FileStore
from sessionguard.testing.contracts.stage import Stage


def remove(path: Path) -> None:
    """Delete the folder with all that is in it."""
    shutil.rmtree(path)


def move(path: Path) -> None:
    """Give it another name."""
    path.rename(path.with_name("elsewhere"))


def replace(path: Path) -> None:
    """Put another store in its place."""
    move(path)
    store = FileStore(path)
    store.identify(c.Identify())
    store.close()


def empty(path: Path) -> None:
    """Delete all that is in it, and make it new inside."""
    for entry in path.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)


LOSSES = pytest.mark.parametrize("lose", [remove, move, replace, empty])
Lose = Callable[[Path], None]


@LOSSES
@pytest.mark.parametrize("verb", ["load", "save", "get", "get_or_create"])
def test_t63_a_lost_folder_is_told_once_and_the_next_call_works(
    path: Path, store: FileStore, stage: Stage, lose: Lose, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first call after the loss raises instead of reporting absence; the next ones use what is there now."""
    opened = store.get_or_create(stage.get_or_create()).record
    commands: dict[str, c.Command[Any]] = {
        "load": stage.load(opened), "save": stage.save(opened, {"n": 1}), "get": stage.get(opened),
        "get_or_create": stage.get_or_create(),
    }  # fmt: skip
    lose(path)
    with pytest.raises(StoreUnavailableError, match="replaced or removed while it was in use"):
        commands[verb].apply(store)
    assert [record.levelname for record in caplog.records if "was replaced" in record.message] == ["ERROR"]
    assert store.load(stage.load(opened)).refusal == "unknown"
    after = store.create(stage.create("after")).record
    assert FileStore(path).get(stage.get(after)) == after


@LOSSES
def test_inline_reads_leave_a_loss_to_the_thread(path: Path, store: FileStore, stage: Stage, lose: Lose) -> None:
    """What would be answered on an event loop is not answered from a folder that is gone."""
    opened = store.create(stage.create()).record
    assert store.answer_inline(stage.load(opened)) is not None
    lose(path)
    try:
        assert store.answer_inline(stage.load(opened)) is None
    except StoreUnavailableError:
        assert lose is empty


def test_a_folder_that_comes_back_has_all_its_sessions(path: Path, store: FileStore, stage: Stage) -> None:
    """A folder that was moved away for a while and back has lost nothing."""
    opened = store.create(stage.create()).record
    elsewhere = path.rename(path.with_name("elsewhere"))
    with pytest.raises(StoreUnavailableError):
        store.get(stage.get(opened))
    elsewhere.rename(path)
    assert store.get(stage.get(opened)) == opened


def test_a_journal_that_was_removed_is_noticed_by_whoever_knew_it(path: Path, store: FileStore, stage: Stage) -> None:
    """A shard whose journal was deleted or is another one is not used without a word."""
    opened = store.create(stage.create()).record
    (path / opened.id[:2] / "journal").unlink()
    with pytest.raises(StoreUnavailableError):
        store.save(stage.save(opened, {"n": 1}))
    # A new journal begins, and the files that were there are used.
    assert store.save(stage.save(opened, {"n": 1})).outcome is Outcome.DONE
