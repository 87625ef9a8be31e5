"""The modules of the package as they lie on disk."""

import ast
from functools import cached_property
from pathlib import Path

import attrs

from tests.architecture.import_rules import PACKAGE, module_name

REPOSITORY = Path(__file__).parents[2]
SOURCE_ROOT = REPOSITORY / "src"


@attrs.frozen(slots=False)
class SourceModule:
    """One Python file of the package."""

    path: Path

    @property
    def name(self) -> str:
        """The name it is imported by."""
        return module_name(self.path, SOURCE_ROOT)

    @property
    def is_package(self) -> bool:
        """Whether it is the face of a folder."""
        return self.path.name == "__init__.py"

    @cached_property
    def source(self) -> str:
        """Its text."""
        return self.path.read_text(encoding="utf-8")

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree, parsed anew each time.

        Kept, those of all modules were a million objects, which every later test's search for garbage went through.
        """
        return ast.parse(self.source, str(self.path))

    def __str__(self) -> str:
        return self.name


MODULES = [SourceModule(path) for path in sorted((SOURCE_ROOT / PACKAGE).rglob("*.py"))]
