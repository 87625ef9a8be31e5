"""Store URLs of SQLite: which file they name, which options they take, what is refused."""

import os
from pathlib import Path

import pytest

from sessionguard import open_store
from sessionguard.core import commands as c
from sessionguard.errors import ConfigurationError
from sessionguard.stores.sqlite import SQLiteStore


def opened(url: str) -> SQLiteStore:
    """Open a store by its URL."""
    store = open_store(url)
    assert isinstance(store, SQLiteStore)
    return store


def test_three_slashes_name_a_path_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sqlite:///var/s.db` is the file var/s.db below the directory in which the store was opened."""
    monkeypatch.chdir(tmp_path)
    store = opened("sqlite:///var/s.db")
    store.identify(c.Identify())
    assert (tmp_path / "var" / "s.db").exists()
    store.close()


def test_a_relative_path_means_the_same_file_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that changes its working directory goes on with its file."""
    monkeypatch.chdir(tmp_path)
    store = opened("sqlite:///s.db")
    identity = store.identify(c.Identify())
    os.mkdir("elsewhere")
    monkeypatch.chdir("elsewhere")
    assert store.identify(c.Identify()) == identity
    assert os.listdir() == []
    store.close()


def test_four_slashes_name_an_absolute_path(tmp_path: Path) -> None:
    """`sqlite:////abs/s.db` is the file /abs/s.db."""
    store = opened(f"sqlite:///{tmp_path}/s.db")
    store.identify(c.Identify())
    assert (tmp_path / "s.db").exists()
    store.close()


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "%41.db", "ü.db", "a#b.db", "file:x.db", ":memory:.db"])
def test_a_path_is_taken_as_it_is_written(tmp_path: Path, name: str) -> None:
    """Nothing in a file name is decoded or means anything to SQLite."""
    store = opened(f"sqlite:///{tmp_path}/{name}")
    store.identify(c.Identify())
    assert {entry.partition("-")[0] for entry in os.listdir(tmp_path)} == {name}
    assert store.migrate(dry_run=True) == []
    store.close()


def test_options_choose_the_journal_and_the_patience(tmp_path: Path) -> None:
    """`?journal=delete&patience=0.5` is taken."""
    store = opened(f"sqlite:///{tmp_path}/s.db?journal=delete&patience=0.5")
    store.identify(c.Identify())
    assert os.listdir(tmp_path) == ["s.db"]
    store.close()


@pytest.mark.parametrize(
    "url, remedy",
    [
        ("sqlite://", "name a file"),
        ("sqlite:///", "name a file"),
        ("sqlite:////", "name a file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///s.db?jornal=wal", "known: journal, patience"),
        ("sqlite:///s.db?journal=off", '"wal"'),
        ("sqlite:///s.db?patience=soon", "seconds"),
        ("sqlite:///s.db?patience=0", "seconds"),
        ("sqlite:///s.db?patience=nan", "seconds"),
        ("sqlite:///s.db?patience=1&patience=2", "once"),
        ("sqlite://host/s.db", "sqlite:///"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    """A URL that names no file or an option that is not known raises before anything is touched."""
    with pytest.raises(ConfigurationError, match=remedy):
        open_store(url)
