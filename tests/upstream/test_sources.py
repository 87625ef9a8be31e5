"""The suites that are run are those of the frameworks that are installed, and documented as they are run."""

from pathlib import Path

import pytest

from tests.architecture.source_tree import REPOSITORY
from tests.architecture.test_packaging import pins
from tests.upstream import sources
from tests.upstream.__main__ import SUITES, Outcome
from tests.upstream.exclusions import TABLES
from tests.upstream.page import PAGE, page, tables


def test_sources_are_those_of_the_installed_frameworks() -> None:
    """A suite is of the same release as the framework it is run against."""
    installed = pins(REPOSITORY / "requirements" / "dev.txt")
    pinned = {name: source.version for name, source in sources.pinned().items()}
    assert pinned == {name: installed[name] for name in pinned}


def test_other_bytes_are_not_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive with another hash is as good as missing."""
    monkeypatch.setattr(sources, "ARCHIVES", tmp_path)
    source = sources.Source("flask", "3.1.3", "315f5bdb76d078c43b8ac0064e4a0164612b1fce77c869345bfc94c75894edd3")
    assert not source.is_here
    source.archive.write_bytes(b"Hello, world!")
    assert source.is_here
    source.archive.write_bytes(b"Hello, world?")
    assert not source.is_here


def test_every_source_and_table_is_of_a_suite() -> None:
    """Nothing is fetched and no case is excluded for a suite that is not run."""
    assert {suite.framework for suite in SUITES.values()} == sources.pinned().keys()
    assert {path.stem for path in TABLES.glob("*.toml")} == SUITES.keys()


@pytest.mark.parametrize(
    "status, output, is_green",
    [
        (0, "490 run, 479 passed, 11 excluded\n", True),
        (1, "490 run, 479 passed, 11 excluded\n", False),
        (0, "no tests ran\n", False),
    ],
)
def test_silence_is_not_green(status: int, output: str, *, is_green: bool) -> None:
    """A run counts only if it succeeded and told its figures."""
    assert Outcome(status, output).is_green is is_green


def test_page_is_what_the_tables_say() -> None:
    """The page of excluded cases is the one that `python -m tests.upstream.page` writes."""
    assert PAGE.read_text(encoding="utf-8") == page(tables())
