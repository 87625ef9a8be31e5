"""Every import of the package follows the table in `import_rules`; planted imports show that the check can fail."""

import pytest

from tests.architecture.import_rules import RULES, layer_of, violations_of
from tests.architecture.source_tree import MODULES, SOURCE_ROOT, SourceModule

KNOWN_MODULES = frozenset(module.name for module in MODULES)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_follows_the_table(module: SourceModule) -> None:
    """A module imports only what the table allows to its layer."""
    violations = violations_of(module.source, module.name, KNOWN_MODULES, is_package=module.is_package)
    assert not violations, "\n".join(map(str, violations))


def test_every_layer_has_a_rule() -> None:
    """A new layer is refused until it is in the table."""
    assert {layer_of(name) for name in KNOWN_MODULES} <= set(RULES), SOURCE_ROOT


FORBIDDEN = [
    ("sessionguard.errors", "from sessionguard.core import policy"),
    ("sessionguard.core.flows", "import os"),
    ("sessionguard.core.flows", "import os.path as where"),
    ("sessionguard.core.flows", "from time import monotonic"),
    ("sessionguard.core.tokens", "import secrets"),
    ("sessionguard.core.tokens", "def mint():\n    import random"),
    ("sessionguard.core.commands", "from sessionguard.stores.contract import Store"),
    ("sessionguard.core.commands", "if TYPE_CHECKING:\n    from sessionguard.stores import contract"),
    ("sessionguard.core.commands", "from ..stores import contract"),
    ("sessionguard.core.records", "import filelock"),
    ("sessionguard.core.records", "import requests"),
    ("sessionguard.context", "from sessionguard.guard import SessionGuard"),
    ("sessionguard.sweeping", "from sessionguard.guard import SessionGuard"),
    ("sessionguard.stores.memory", "from sessionguard.workspaces import Workspace"),
    ("sessionguard.stores.memory", "from sessionguard import SessionGuard"),
    ("sessionguard.stores.memory", "import sqlite3"),
    ("sessionguard.stores.opening", "import redis.asyncio"),
    ("sessionguard.stores.opening", "importlib.import_module('redis')"),
    ("sessionguard.workspaces.local.leases", "from sessionguard.uploads import names"),
    ("sessionguard.uploads.storage", "import sessionguard.stores.memory"),
    ("sessionguard.locks.sqlite", "from sessionguard.stores.sqlite import connection"),
    ("sessionguard.observability.metrics", "import prometheus_client"),
    ("sessionguard.observability.logging", "from sessionguard import guard"),
    ("sessionguard.guard", "from sessionguard.async_guard import AsyncSessionGuard"),
    ("sessionguard.guard", "from sessionguard.stores.memory import MemoryStore"),
    ("sessionguard.guard", "from sessionguard.workspaces.local.leases import Lease"),
    ("sessionguard.guard", "from sessionguard.adapters import http"),
    ("sessionguard.async_guard", "from sessionguard.testing import contracts"),
    ("sessionguard.adapters.flask", "from sessionguard.stores.opening import open_store"),
    ("sessionguard.adapters.flask", "import django"),
    ("sessionguard.adapters.wsgi", "from werkzeug.datastructures import Headers"),
    ("sessionguard.adapters.http", "from sessionguard.cli import probe"),
    ("sessionguard.testing.plugin", "from sessionguard.cli.__main__ import main"),
    ("sessionguard", "from sessionguard.adapters.flask import SessionGuardExtension"),
    ("sessionguard", "from sessionguard.testing import contracts"),
    ("sessionguard.helping", "import json"),
]

ALLOWED = [
    ("sessionguard.core.flows", "import json, re\nfrom attrs import frozen\nfrom sessionguard.core import commands"),
    ("sessionguard.core.flows", "from . import commands\nfrom ..errors import SessionError"),
    ("sessionguard.stores.sqlite.store", "import sqlite3\nfrom sessionguard.stores.contract import Store"),
    ("sessionguard.stores.redis.async_store", "from redis.asyncio import Redis"),
    ("sessionguard.workspaces.local.leases", "import portalocker\nfrom sessionguard.core.points import point"),
    ("sessionguard.guard", "from sessionguard.workspaces import Workspaces\nfrom sessionguard.stores.opening import x"),
    ("sessionguard.adapters.flask", "from flask import Flask\nfrom sessionguard.guard import SessionGuard"),
    ("sessionguard.adapters.django.engine", "from django.conf import settings\nfrom sessionguard.adapters import http"),
    ("sessionguard.testing.plugin", "import pytest, sqlite3\nfrom sessionguard.stores.memory import MemoryStore"),
    ("sessionguard.cli.demo.app", "import flask\nfrom sessionguard.testing import probe\nimport sessionguard"),
]

PLANTED_MODULES = frozenset({
    "sessionguard.stores.contract", "sessionguard.stores.memory", "sessionguard.stores.sqlite.connection",
    "sessionguard.stores.opening", "sessionguard.core.commands", "sessionguard.core.policy", "sessionguard.guard",
    "sessionguard.adapters.http", "sessionguard.cli.probe", "sessionguard.testing.probe",
    "sessionguard.testing.contracts", "sessionguard.uploads.names",
})  # fmt: skip


@pytest.mark.parametrize("module, source", FORBIDDEN)
def test_planted_import_is_caught(module: str, source: str) -> None:
    """An import against the rules is reported, however it is written."""
    assert len(violations_of(source, module, PLANTED_MODULES)) == 1


@pytest.mark.parametrize("module, source", ALLOWED)
def test_allowed_import_is_not_reported(module: str, source: str) -> None:
    """An import the rules allow is not reported."""
    assert violations_of(source, module, PLANTED_MODULES) == []


def test_violation_names_module_line_and_target() -> None:
    """A report says where the forbidden import stands and what it reaches."""
    (violation,) = violations_of("import json\n\nimport socket\n", "sessionguard.core.flows")
    assert str(violation).startswith("sessionguard.core.flows, line 3: imports socket: ")
