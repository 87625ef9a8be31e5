"""The incident of March 2023: the cancel sweep finds it in the redis-py that had it, and not in the one of today."""

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.source_tree import REPOSITORY

pytestmark = pytest.mark.processes

PAGE = REPOSITORY / "docs" / "how-to" / "inject-faults.md"
SINGLE, POOL, PIPELINE = "single connection, `get`", "pool, `get`", "pool, pipeline"
FOREIGN = "bob read 'ALICE' instead of 'BOB', 'once@{}'"
EXPECTED = {
    "4.5.1": {SINGLE: FOREIGN.format(1), POOL: FOREIGN.format(2), PIPELINE: FOREIGN.format(2)},
    "4.5.3": {SINGLE: FOREIGN.format(1), POOL: FOREIGN.format(2), PIPELINE: "clean"},
    "4.5.4": {
        SINGLE: "clean",
        POOL: "clean",
        PIPELINE: "RuntimeError: read() called while another coroutine is already waiting for incoming data",
    },
    "4.5.5": dict.fromkeys((SINGLE, POOL, PIPELINE), "clean"),
}


def _table() -> ModuleType:
    specification = importlib.util.spec_from_file_location(
        "redis_march_2023_table", REPOSITORY / "examples" / "redis_march_2023" / "table.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


table = _table()


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    """The folder in which each old version is installed once, for all test runs."""
    cache: pytest.Cache | None = request.config.cache
    assert cache is not None, "the old versions are kept in the cache of pytest, which is turned off"
    return cache.mkdir("redis_march_2023")


@pytest.fixture(scope="module")
def results() -> dict[str, Mapping[str, str]]:
    """What was found by version, so that the page can be compared with it."""
    return {}


@pytest.mark.parametrize("version", EXPECTED)
def test_the_released_versions_are_found_out(version: str, folder: Path, results: dict[str, Mapping[str, str]]) -> None:
    """Bob reads what Alice asked for in 4.5.1 and 4.5.3, pipelines break in 4.5.4, and 4.5.5 is right."""
    try:
        path = table.installed(version, folder)
    except table.NotInstalledError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    found, verdicts = table.swept(path)
    assert found == version
    assert verdicts == EXPECTED[version]
    results[found] = verdicts


def test_the_current_version_is_clean() -> None:
    """The redis-py that this project uses gives nobody another's reply."""
    version, verdicts = table.swept()
    assert version not in EXPECTED
    assert verdicts == dict.fromkeys((SINGLE, POOL, PIPELINE), "clean")


def test_the_page_shows_what_is_found(results: dict[str, Mapping[str, str]]) -> None:
    """The table of the page is the one that the example prints, as far as it could be made here."""
    shown = PAGE.read_text(encoding="utf-8")
    head, _, *lines = table.table(results or EXPECTED).splitlines()
    assert head in shown
    assert [line for line in lines if line not in shown] == []
