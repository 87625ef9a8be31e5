"""Modules and functions stay small, and no module has a name that says nothing."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source_tree import MODULES, REPOSITORY, SourceModule

MODULE_LIMIT = 500
MOST_MODULES_UNDER = 350
FUNCTION_LIMIT = 60
MOST_FUNCTIONS_UNDER = 30
MOST = 0.9

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
EMPTY_VERBS = ("do_", "handle_", "process_")


def functions_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the name and the length, from `def` to the last line, of every function in `tree`, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


@cache
def functions_in(module: SourceModule) -> tuple[tuple[str, int], ...]:
    """Give the name and the length of every function of `module`."""
    return tuple(functions_of(module.tree))


def share_under(limit: int, sizes: Iterable[int]) -> float:
    """Give the share of `sizes` below `limit`; 1 when there are none."""
    sizes = list(sizes)
    return sum(size < limit for size in sizes) / len(sizes) if sizes else 1.0


def line_count(module: SourceModule) -> int:
    """Give the number of lines of `module`."""
    return len(module.source.splitlines())


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_and_its_functions_have_a_limit(module: SourceModule) -> None:
    """No module is over 500 lines and no function over 60."""
    assert line_count(module) <= MODULE_LIMIT
    too_long = [f"{name}: {length} lines" for name, length in functions_in(module) if length > FUNCTION_LIMIT]
    assert not too_long


def test_most_modules_are_short() -> None:
    """Nine modules of ten stay under 350 lines."""
    assert share_under(MOST_MODULES_UNDER, map(line_count, MODULES)) >= MOST


def test_most_functions_are_short() -> None:
    """Nine functions of ten stay under 30 lines."""
    lengths = [length for module in MODULES for _, length in functions_in(module)]
    assert share_under(MOST_FUNCTIONS_UNDER, lengths) >= MOST


def test_module_names_say_what_is_inside() -> None:
    """No module or folder, of the package or of its tests, is called utils, helpers, common or misc."""
    paths = [path for root in ("src", "tests") for path in (REPOSITORY / root).rglob("*.py")]
    assert [path for path in paths if is_empty_name(path.relative_to(REPOSITORY))] == []


def test_function_names_say_what_happens() -> None:
    """No function is called do_, handle_ or process_ something."""
    names = [
        f"{module}.{name}"
        for module in MODULES
        for name, _ in functions_in(module)
        if name.lstrip("_").startswith(EMPTY_VERBS)
    ]
    assert names == []


def is_empty_name(path: Path) -> bool:
    """Whether a part of `path` is a name that says nothing."""
    return not EMPTY_NAMES.isdisjoint(part.strip("_") for part in path.with_suffix("").parts)


def test_every_module_states_its_responsibility() -> None:
    """The first statement of every module is a docstring."""
    assert [module.name for module in MODULES if not ast.get_docstring(module.tree)] == []


def test_planted_sizes_and_names_are_caught() -> None:
    """A long method, a tail of long functions and a nested `_helpers` folder are seen."""
    body = "        pass\n" * 60
    assert list(functions_of(ast.parse(f"class A:\n    async def long(self):\n{body}"))) == [("long", 61)]
    assert share_under(30, [29] * 8 + [30] * 2) < MOST
    assert is_empty_name(Path("src/sessionguard/stores/_helpers/rows.py"))
    assert is_empty_name(Path("tests/utils.py"))
    assert not is_empty_name(Path("src/sessionguard/stores/common_table.py"))
