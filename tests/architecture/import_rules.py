"""Who may import whom, as one table, and the reader of imports that judges a module by it."""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import field, frozen

PACKAGE = "sessionguard"

PURE_STDLIB = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "contextvars", "copy",
    "dataclasses", "datetime", "decimal", "enum", "functools", "hashlib", "heapq", "hmac", "itertools", "json",
    "keyword", "math", "numbers", "operator", "re", "reprlib", "string", "struct", "textwrap", "types", "typing",
    "unicodedata", "weakref", "zlib",
})  # fmt: skip
"""Modules of the standard library that can neither reach the world (files, sockets, threads, clocks, randomness,
the environment) nor be asked about it."""

DRIVERS: Mapping[str, str] = {
    # what is imported: the only file or folder that may
    "sqlite3": "sqlite",
    "redis": "redis",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "boto3": "s3",
    "botocore": "s3",
    "flask": "flask",
    "werkzeug": "flask",
    "click": "flask",
    "fastapi": "fastapi",
    "starlette": "fastapi",
    "django": "django",
    "asgiref": "django",
    "prometheus_client": "prometheus",
}
"""A driver or framework is imported only in the file, or under the folder, named after it."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


@frozen
class Rule:
    """What the modules of one layer may import; what is not listed is forbidden.

    An arrow `x` reaches exactly `sessionguard.x`, its public face; `x.*` reaches what lies below it, too.
    """

    arrows: frozenset[str] = field(converter=_names)
    packages: frozenset[str] = field(default="", converter=_names)
    """Distributions it may use beyond the standard library (`*`: any), apart from DRIVERS."""
    stdlib: frozenset[str] = frozenset(sys.stdlib_module_names)
    drivers_anywhere: bool = False
    """Whether it is free of the rule on DRIVERS."""


GUARD = Rule(
    "errors core.* context beating sweeping async_sweeping parts stores.contract stores.opening stores.offload "
    "workspaces workspaces.offloaded workspaces.opening uploads locks locks.gates locks.asynchronous "
    "locks.async_holding",
    packages="attrs attr typing_extensions",
)
PLAIN = "attrs attr typing_extensions"
LOCKING = PLAIN + " filelock portalocker"

RULES: Mapping[str, Rule] = {
    # layer          what it may import
    "errors":        Rule("", PLAIN, PURE_STDLIB),
    "core":          Rule("errors core.*", PLAIN, PURE_STDLIB),
    "offloading":    Rule("", PLAIN),
    "forking":       Rule("", PLAIN),
    "booting":       Rule("", PLAIN),
    "file_systems":  Rule("", PLAIN),
    "registry":      Rule("errors", PLAIN),
    "context":       Rule("errors core.*", PLAIN),
    "beating":       Rule("errors core.* forking", PLAIN),
    "sweeping":      Rule("errors core.*", PLAIN),
    "async_sweeping": Rule("errors core.* sweeping", PLAIN),
    "parts":         Rule("errors core.* workspaces", PLAIN),
    "stores":        Rule("errors core.* booting file_systems forking offloading registry stores.*", LOCKING),
    "workspaces":    Rule("errors core.* booting file_systems forking offloading registry workspaces.*", LOCKING),
    "uploads":       Rule("errors core.* uploads.*", LOCKING),
    "locks":         Rule("errors core.* beating forking locks.*", LOCKING),
    "observability": Rule("errors core.* observability.*", PLAIN),
    "guard":         GUARD,
    "async_guard":   GUARD,
    # The commands of frameworks hand their arguments on to those of the command line.
    "adapters":      Rule("errors core.* context offloading guard async_guard workspaces.offloaded adapters.* "
                          "cli.application", PLAIN),
    "testing":       Rule("testing.* . errors core.* context beating sweeping guard async_guard stores.* workspaces.* "
                          "uploads.* locks.* observability.* adapters.*", "*", drivers_anywhere=True),
    "cli":           Rule(". *", "*", drivers_anywhere=True),
    # The package itself only re-exports.
    ".":             Rule("errors core.* context guard async_guard stores.contract stores.opening "
                          "workspaces uploads locks"),
}  # fmt: skip


@frozen
class Import:
    """One import as written: the module it reaches and the line it stands on."""

    target: str
    line: int


@frozen
class Violation:
    """An arrow the table does not allow."""

    module: str
    line: int
    target: str
    reason: str

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: imports {self.target}: {self.reason}"


def module_name(path: Path, source_root: Path) -> str:
    """Give the dotted name of the module in `path`; a package is named by its folder."""
    parts = path.relative_to(source_root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(
    source: str, module: str, known_modules: frozenset[str], *, is_package: bool = False
) -> Iterator[Import]:
    """Yield every module that `source` imports, wherever the statement stands, type checking included.

    `from a import b` reaches `a.b` when that is a module, else `a`. A literal `import_module("a")` counts as well.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom(module=base, names=names, level=level):
                origin = _absolute(base or "", level, module, is_package=is_package)
                for alias in names:
                    submodule = f"{origin}.{alias.name}"
                    yield Import(submodule if submodule in known_modules else origin, node.lineno)
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if _is_dynamic_import(function):
                yield Import(name, node.lineno)


def violations_of(
    source: str, module: str, known_modules: frozenset[str] = frozenset(), *, is_package: bool = False
) -> list[Violation]:
    """List every import of `source` that the table does not allow to `module`; empty when all is well."""
    found = []
    for imported in imports_of(source, module, known_modules, is_package=is_package):
        reason = _objection(module, imported.target)
        if reason is not None:
            found.append(Violation(module, imported.line, imported.target, reason))
    return found


def layer_of(module: str) -> str:
    """Give the layer of a module of this package: the first name below the root, `.` for the root itself."""
    return module.split(".")[1] if "." in module else "."


def _objection(module: str, target: str) -> str | None:
    layer = layer_of(module)
    rule = RULES.get(layer)
    if rule is None:
        return f"the layer {layer!r} is not in the table of tests/architecture/import_rules.py"
    top_level = target.split(".")[0]
    if top_level == PACKAGE:
        return None if _is_arrow_allowed(rule, target) else f"{layer} may not reach it"
    if top_level in DRIVERS and not rule.drivers_anywhere:
        home = DRIVERS[top_level]
        return None if home in module.split(".") else f"a driver or framework is imported only in a file named {home}"
    if top_level in sys.stdlib_module_names:
        return None if top_level in rule.stdlib else f"{layer} keeps to the pure part of the standard library"
    if top_level in DRIVERS or not rule.packages.isdisjoint({"*", top_level}):
        return None
    return f"{layer} may not use this package"


def _is_arrow_allowed(rule: Rule, target: str) -> bool:
    path = target.partition(".")[2]
    if not path:
        return "." in rule.arrows
    names = path.split(".")
    folders = (".".join(names[:depth]) for depth in range(1, len(names) + 1))
    return path in rule.arrows or "*" in rule.arrows or any(f"{folder}.*" in rule.arrows for folder in folders)


def _absolute(base: str, level: int, module: str, *, is_package: bool) -> str:
    if not level:
        return base
    parts = module.split(".") if is_package else module.split(".")[:-1]
    parts = parts[: len(parts) - level + 1]
    return ".".join([*parts, base] if base else parts)


def _is_dynamic_import(function: ast.expr) -> bool:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in {"import_module", "__import__", "find_spec", "resolve_name"}
    return False
