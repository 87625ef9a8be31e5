"""Flask's own suite, with `flask.session` kept in a guard: a pytest plugin for the run of `tests/` of its sources.

Every application that the suite makes is bound to a guard of its own as it is constructed, as one does by hand.
"""

from typing import Any

import pytest
from flask import Flask

from sessionguard import SessionGuard
from sessionguard.adapters.flask import SessionGuardExtension
from tests.upstream.exclusions import Table
from tests.upstream.under_pytest import HeldToTable

_construct = Flask.__init__
_default_interface = Flask.session_interface


def _construct_bound(app: Flask, *arguments: Any, **options: Any) -> None:
    _construct(app, *arguments, **options)
    if app.session_interface is _default_interface:
        # Its clients speak plain HTTP to names such as example.com, and keep no Secure cookie there.
        app.config["SESSIONGUARD_COOKIE_SECURE"] = False
        SessionGuardExtension(app, SessionGuard.open("memory://"))


def pytest_configure(config: pytest.Config) -> None:
    """Bind every application from now on."""
    setattr(Flask, "__init__", _construct_bound)  # noqa: B010 - a plain assignment is not possible by its type
    config.pluginmanager.register(HeldToTable(Table.of("flask")))
