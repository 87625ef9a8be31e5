"""The page of what goes wrong over HTTP names tests that exist, and all those that every framework shares."""

import ast
import re
from pathlib import Path

from tests.architecture.source_tree import REPOSITORY

ADAPTERS = REPOSITORY / "tests/adapters"
PAGE = (REPOSITORY / "docs/reference/http-failures.md").read_text(encoding="utf-8")
NUMBERS = {*range(7, 12), *range(20, 28), 33, 34, *range(37, 50)}
"""The failures that are to be ruled out in each framework, by the number in the names of their tests."""
FRAMEWORKS = {
    "every": ("every/conftest.py", "FRAMEWORKS"),
    "external": ("external/conftest.py", "APPS"),
    "served": ("served/fronts.py", "FRONTS"),
}
"""Where it says under what the tests of a folder run."""


def names_in(path: Path) -> set[str]:
    """Give the names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {name for name in names if name.startswith("test_")}


def keys_of(path: Path, name: str) -> list[object]:
    """Give the keys of the dictionary called `name` in a file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            assert isinstance(node.value, ast.Dict)
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise AssertionError(f"{path} has no {name}")


def test_every_test_of_the_page_exists() -> None:
    """A test that was renamed or taken away leaves no promise behind that nothing proves."""
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) == PAGE.count("::")
    missing = [f"{file}::{name}" for file, name in named if name not in names_in(ADAPTERS / file)]
    assert missing == []


def test_every_number_and_every_shared_test_has_its_row() -> None:
    """No failure is left out, and no test of the shared text."""
    numbers = {int(number) for name in re.findall(r"::(\w+)`", PAGE) for number in re.findall(r"_t(\d\d)", name)}
    assert numbers >= NUMBERS
    shared = {f"every/{path.name}::{name}" for path in ADAPTERS.glob("every/test_*.py") for name in names_in(path)}
    assert {test for test in shared if f"`{test}`" not in PAGE} == set()


def test_the_page_says_under_what_the_tests_run() -> None:
    """A framework or server that is added or taken away is so on the page."""
    for folder, (file, name) in FRAMEWORKS.items():
        (row,) = re.findall(rf"^\| `tests/adapters/{folder}` \| (.*) \|$", PAGE, re.MULTILINE)
        assert re.findall(r"`([^`]+)`", row) == keys_of(ADAPTERS / file, name)
