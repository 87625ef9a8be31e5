"""What must be installed before the demonstration can be imported at all."""

import os
from importlib.util import find_spec

from sessionguard.cli.demo.failure import DemoError
from sessionguard.errors import MissingExtraError

PACKAGES = {"flask": "flask", "gunicorn": "gunicorn", "shapefile": "pyshp"}
"""The extra `demo`: what is imported, and the package it comes from."""


def require_packages() -> None:
    """Return if the demonstration can run here.

    Raises:
        MissingExtraError: a package of the extra `demo` is absent.
        DemoError: this system cannot fork.
    """
    if not hasattr(os, "fork"):
        raise DemoError("the demonstration needs a system with fork (Linux, macOS, WSL): gunicorn does")
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtraError("demo", package)
