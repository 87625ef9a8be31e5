"""Store URLs of files: which folder they name, which options they take, what is refused."""

import os
from pathlib import Path

import pytest

from sessionguard import open_store
from sessionguard.core import commands as c
from sessionguard.errors import ConfigurationError
from sessionguard.stores.file import FileStore, open_file


def opened(url: str) -> FileStore:
    """Open a store by its URL."""
    store = open_store(url)
    assert isinstance(store, FileStore)
    return store


@pytest.mark.parametrize("slashes", ["//", "///"])
def test_a_file_url_names_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slashes: str) -> None:
    """`file:///srv/sessions` is /srv/sessions wherever the process is; a slash more is the same."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store = opened(f"file:{slashes}{tmp_path}/sessions")
    store.identify(c.Identify())
    assert (tmp_path / "sessions" / "format.json").exists()
    store.close()


def test_a_path_may_be_relative_to_where_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store made from a path stays below the working directory of that moment, also after a change of it."""
    monkeypatch.chdir(tmp_path)
    store = FileStore("var/sessions")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    store.identify(c.Identify())
    assert (tmp_path / "var" / "sessions" / "format.json").exists()
    store.close()


@pytest.mark.parametrize(
    "written, name",
    [
        ("a b", "a b"),
        ("a%20b", "a b"),
        ("%41", "A"),
        ("%2541", "%41"),
        ("100%", "100%"),
        ("100%zz", "100%zz"),
        ("ü", "ü"),
        ("%C3%BC", "ü"),
        ("%FF", os.fsdecode(b"\xff")),
        ("a%3Fb", "a?b"),
        ("a#b", "a#b"),
        ("a+b", "a+b"),
        ("x:y", "x:y"),
    ],
)
def test_a_path_is_percent_decoded(tmp_path: Path, written: str, name: str) -> None:
    """An escape stands for a byte of the name, as in every file URL; what is no escape stands for itself."""
    store = opened(f"file://{tmp_path}/{written}?patience=0.5")
    store.identify(c.Identify())
    assert os.listdir(tmp_path) == [name]
    assert store.patience_seconds == 0.5
    store.close()


@pytest.mark.parametrize(
    "url, remedy",
    [
        ("file://", "name a folder"),
        ("file:///", "name a folder"),
        ("file:////", "name a folder"),
        ("file:///%2F", "name a folder"),
        ("file:///srv%00/sessions", "NUL"),
        ("file://host/sessions", "no hosts"),
        ("file:///s?patience=soon", "seconds"),
        ("file:///s?patience=0", "seconds"),
        ("file:///s?patience=nan", "seconds"),
        ("file:///s?journal=wal", "only the option patience"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    """A URL that names no folder or an option that is not known raises before anything is touched."""
    options = dict(pair.split("=") for pair in url.partition("?")[2].split("&") if pair)
    with pytest.raises(ConfigurationError, match=remedy):
        open_file(url, options)
