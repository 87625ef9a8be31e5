"""What `import sessionguard` offers, loads and costs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sessionguard
from tests.architecture.import_rules import DRIVERS
from tests.architecture.source_tree import MODULES, SOURCE_ROOT

FACE = SOURCE_ROOT / "sessionguard" / "__init__.py"
LOADED_AT_IMPORT = {"sessionguard", "attr", "attrs", "typing_extensions"}
OPTIONAL = sorted({*DRIVERS, "gunicorn", "shapefile", "filelock", "portalocker", "pytest", "hypothesis"} - {"sqlite3"})
ALWAYS_INSTALLED = {"filelock", "portalocker"}

ROUNDS = 7

LIST_WHAT_AN_IMPORT_LOADS = """
import sys
before = set(sys.modules)
import {module}
loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(*sorted(loaded - sys.stdlib_module_names))
"""

MEASURE_AN_IMPORT = """
from time import perf_counter
start = perf_counter()
import {module}
print(perf_counter() - start)
"""

IMPORT_ALL_WITHOUT = """
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)
sys.meta_path.insert(0, Absent())
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{{name}}: {{error}}")
"""


def run_python(program: str, **environment: str) -> str:
    """Run `program` in a fresh interpreter and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by_import(module: str, **environment: str) -> set[str]:
    """Give the top-level packages beyond the standard library that importing `module` loads."""
    return set(run_python(LIST_WHAT_AN_IMPORT_LOADS.format(module=module), **environment).split())


def import_failures(modules: list[str], absent: set[str]) -> list[str]:
    """List which of `modules` cannot be imported when the packages `absent` are not installed."""
    return run_python(IMPORT_ALL_WITHOUT.format(modules=modules, absent=absent)).splitlines()


def test_all_is_sorted_and_resolves() -> None:
    """Every name of `__all__` exists, and the list is sorted."""
    assert list(sessionguard.__all__) == sorted(sessionguard.__all__)
    assert [name for name in sessionguard.__all__ if not hasattr(sessionguard, name)] == []


def test_promised_names_are_public() -> None:
    """The names that others import are in `__all__`."""
    promised = {"SessionGuard", "AsyncSessionGuard", "SessionPolicy", "Session", "open_store", "current_session"}
    assert promised <= set(sessionguard.__all__)


def test_face_is_short() -> None:
    """`__init__.py` only re-exports: it stays under 60 lines and defines no function or class."""
    text = FACE.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert re.search(r"^(async def|def|class) (?!__getattr__|__dir__)", text, re.MULTILINE) is None


def test_import_loads_no_optional_package(tmp_path: Path) -> None:
    """`import sessionguard` loads attrs and typing-extensions and nothing else, even with every extra installed."""
    for name in OPTIONAL:
        # An empty package stands for each one that is not here: what looks for it finds it.
        if name not in ALWAYS_INSTALLED:
            (tmp_path / f"{name}.py").touch()
    assert loaded_by_import("sessionguard", PYTHONPATH=str(tmp_path)) <= LOADED_AT_IMPORT


def test_modules_need_no_extra() -> None:
    """Apart from those named after a driver, the test kit and the demo, every module imports without any extra."""
    homes = {*DRIVERS.values(), "testing", "demo"} - {"sqlite"}
    modules = [module.name for module in MODULES if homes.isdisjoint(module.name.split("."))]
    assert import_failures(modules, set(OPTIONAL) - ALWAYS_INSTALLED) == []


@pytest.mark.timing
def test_import_costs_less_than_half_of_flask() -> None:
    """Importing sessionguard takes less than half the time of importing flask, best of several fresh interpreters."""

    def seconds(module: str) -> float:
        return float(run_python(MEASURE_AN_IMPORT.format(module=module)))

    rounds = [(seconds("sessionguard"), seconds("flask")) for _ in range(ROUNDS)]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))
    assert ours < theirs / 2, f"import sessionguard {ours * 1000:.1f} ms, import flask {theirs * 1000:.1f} ms"


def test_planted_imports_are_caught() -> None:
    """A package that an import loads is seen, and a module that needs an absent one is named."""
    assert "werkzeug" in loaded_by_import("flask")
    assert [line.partition(":")[0] for line in import_failures(["json", "flask"], {"werkzeug"})] == ["flask"]
