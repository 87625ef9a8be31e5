"""What `sessionguard.testing` offers, lazily, and the page that lists all of it."""

import re
import subprocess
import sys

import pytest

import sessionguard.testing
from sessionguard.testing import plugin
from tests.architecture.source_tree import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reference" / "testing.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^\| `([^`]+)` \| (.*) \|$", PAGE, re.MULTILINE)
"""The first cell of each row, without its marks, and the second one."""


def rows_under(heading: str) -> set[str]:
    """Give the first cells of the table with this heading."""
    table = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))


def test_every_name_is_there_and_sorted() -> None:
    """Each name resolves, is what it is called, and is listed once."""
    names = sessionguard.testing.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(sessionguard.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sessionguard.testing.nothing
    assert set(names) <= set(dir(sessionguard.testing))


def test_the_page_lists_every_public_name_and_no_other() -> None:
    """One row each, with one line that says something."""
    names = [cell for cell, _ in LISTED if cell.isidentifier() and cell not in rows_under("fixture")]
    names += [cell for cell in rows_under("fixture") if cell.endswith("_sweep")]
    assert sorted(names) == sorted(sessionguard.testing.__all__)
    assert [cell for cell, told in LISTED if len(told) < 12] == []


def test_the_page_lists_every_fixture_mark_and_option(pytestconfig: pytest.Config) -> None:
    """What the plugin offers is what the page says it does."""
    fixtures = {name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert rows_under("fixture") == fixtures
    marks = {re.match(r"\w+", marker)[0] for marker in plugin._MARKERS}  # type: ignore[index]
    assert {re.sub(r"@pytest\.mark\.|\(.*", "", cell) for cell in rows_under("mark")} == marks
    parser = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(parser)
    [group] = [group for group in parser._groups if group.name == "sessionguard"]
    options = {name for option in group.options for name in option.names()}
    assert {cell.partition("=")[0] for cell in rows_under("option")} == options


def test_importing_it_loads_nothing() -> None:
    """Neither a module of the harness, nor pytest, nor Hypothesis is loaded before a name is asked for."""
    program = (
        "import sys, sessionguard.testing as t; "
        "print([n for n in sys.modules if n.startswith('sessionguard.testing.') or n in ('pytest', 'hypothesis')]); "
        "t.Interleaver; print('pytest' in sys.modules, 'hypothesis' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\nFalse False\n"


def test_a_missing_package_names_the_extra() -> None:
    """Both packages that the extra brings, each with the command that installs it."""
    program = (
        "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "import sessionguard.testing as t\n"
        "for name in ('WorkspaceContract', 'SessionGuardMachine'):\n"
        "    try: getattr(t, name)\n"
        "    except ImportError as error: print(error.code, error.package, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("missing_extra pytest>=8 ")
    assert second.startswith("missing_extra hypothesis>=6.100 ")
    assert "pip install 'pytest>=8' (or the extra [testing] of sessionguard)" in first
