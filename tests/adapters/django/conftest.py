"""A project on every store that needs nothing but Python."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.http import HttpRequest
from django.test import override_settings
from django.test.utils import setup_test_environment, teardown_test_environment
from django.utils import timezone

from sessionguard import open_store
from sessionguard.adapters.django import guards
from tests.adapters.django.browser import COOKIE, MIDDLEWARE, Browser
from tests.adapters.django.project import FOLDER, Project

BuildProject = Callable[..., Project]


@pytest.fixture(scope="session", autouse=True)
def _folder() -> Iterator[None]:
    """Have Django watch what templates are given, and take away in the end what the project made."""
    FOLDER.mkdir(mode=0o700)
    setup_test_environment()
    yield
    teardown_test_environment()
    guards.close()
    connections.close_all()
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(params=["memory", "sqlite"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Which store the project of the test has."""
    return str(request.param)


@pytest.fixture
def build(store_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BuildProject]:
    """Build projects, each with a store of its own; the last one built is that of the process."""
    built: list[tuple[Project, Any]] = []

    def build_project(**options: Any) -> Project:
        url = "memory://" if store_kind == "memory" else f"sqlite:///{tmp_path}/sessions-{len(built)}.db"
        store: Any = open_store(url)
        project = Project(store, tmp_path / f"workspaces-{len(built)}", **options)
        monkeypatch.setattr(timezone, "now", project.clock)
        guards.use(project.guard)
        built.append((project, store))
        return project

    yield build_project
    guards.close()
    for project, store in built:
        project.leave()
        guards.close()
        project.guard.close()
        store.close()


@pytest.fixture
def project(build: BuildProject) -> Project:
    """Give a project with the default settings."""
    return build()


@pytest.fixture(scope="session")
def _tables() -> None:
    """Make the tables of the project's apps, once."""
    call_command("migrate", run_syncdb=True, verbosity=0)


@pytest.fixture
def tables(_tables: None) -> Iterator[None]:
    """Give a database with the tables of the project's apps and nothing in them."""
    call_command("flush", interactive=False, verbosity=0)
    yield
    connections.close_all()


@pytest.fixture
def guarded() -> Iterator[None]:
    """Have the project use our middleware instead of Django's."""
    with override_settings(MIDDLEWARE=MIDDLEWARE, SESSION_COOKIE_NAME=COOKIE):
        yield


@pytest.fixture
def kind(store_kind: str) -> str:
    """How Django handles requests: one way on each store."""
    return "sync" if store_kind == "sqlite" else "async"


@pytest.fixture
def browser(kind: str, guarded: None, project: Project) -> Browser:
    """A browser without cookies."""
    return Browser(kind)


@pytest.fixture
def counting(guarded: None, project: Project) -> None:
    """A view that counts its posts in the session, and one that reads the count."""

    @project.view
    def count(request: HttpRequest) -> Any:
        request.session["n"] = request.session.get("n", 0) + 1
        return request.session["n"]

    @project.view
    def read(request: HttpRequest) -> Any:
        return request.session.get("n")

    @project.view
    def idle(request: HttpRequest) -> Any:
        return ""
