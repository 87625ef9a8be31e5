"""The example site does what it shows."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings

from sessionguard.core.events import Event, SessionCreated
from sessionguard.workspaces.calls import WorkspaceCalls
from tests.adapters.django.project import Project

EXAMPLE = Path(__file__).parents[3] / "examples" / "django_upload" / "app.py"


def named(content: bytes, name: str) -> BytesIO:
    """Give a file as a form sends it."""
    file = BytesIO(content)
    file.name = name
    return file


@pytest.fixture
def visitors(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Give two browsers of the example, over the store of the test."""
    specification = importlib.util.spec_from_file_location("django_upload_app", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "django_upload_app", module)
    specification.loader.exec_module(module)
    with override_settings(ROOT_URLCONF="django_upload_app", MIDDLEWARE=module.MIDDLEWARE):
        yield [Client(), Client()]


def test_tabs_and_visitors_stay_apart(visitors: list[Client]) -> None:
    """Two uploads of the same name are two files, and another visitor reaches neither."""
    visitor, other = visitors
    places = []
    for content in (b"first", b"second"):
        response = visitor.post("/uploads", {"file": named(content, "table.csv")})
        assert response.status_code == 302
        places.append(response["Location"])
    assert len(set(places)) == 2
    assert [visitor.get(place).json() for place in places] == [{"files": ["table.csv"]}] * 2
    assert [visitor.get(f"{place}/table.csv").content for place in places] == [b"first", b"second"]
    assert [other.get(f"{place}/table.csv").status_code for place in places] == [404, 404]
    assert visitor.get(f"{places[0]}/other.csv").status_code == 404
    assert all(place in visitor.get("/").content.decode() for place in places)
    assert places[0] not in other.get("/").content.decode()


def test_tabs_that_upload_at_once_are_all_listed(visitors: list[Client], project: Project) -> None:
    """What a tab stores while another one is at it is in the list, as is the other's."""
    tabs = visitors
    tabs[0].post("/uploads", {"file": named(b"0", "a.txt")})
    tabs[1].cookies = tabs[0].cookies
    places: list[str] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, SessionCreated) and event.scope == "upload" and not places:
            places.append("/uploads/")
            places.append(tabs[1].post("/uploads", {"file": named(b"1", "b.txt")})["Location"])

    project.guard.subscribe(meanwhile)
    places.append(tabs[0].post("/uploads", {"file": named(b"2", "c.txt")})["Location"])
    listed = tabs[0].get("/").content.decode()
    assert listed.count("<li>") == 3
    assert all(place in listed for place in places)


def test_upload_that_fails_leaves_nothing(
    visitors: list[Client], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the error is, no session stays behind that nobody was told of."""

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(WorkspaceCalls, "write", broken)
    with pytest.raises(ZeroDivisionError):
        visitors[0].post("/uploads", {"file": named(b"x", "a.txt")})
    assert list(project.guard.sessions(scope="upload")) == []


def test_what_cannot_be_stored_leaves_nothing(visitors: list[Client], project: Project) -> None:
    """A name that is not taken is told, as is a form without a file or without CSRF proof; no upload stays behind."""
    files = [named(b"x", "good.txt"), named(b"x", ".evil")]
    response = visitors[0].post("/uploads", {"file": files})
    assert response.status_code == 400
    assert b"may not start with a dot" in response.content
    assert visitors[0].post("/uploads").status_code == 400
    assert Client(enforce_csrf_checks=True).post("/uploads", {"file": named(b"x", "a")}).status_code == 403
    assert list(project.guard.sessions(scope="upload")) == []


@pytest.mark.processes
def test_the_example_starts() -> None:
    """Its settings pass the system checks, without a warning."""
    command = [sys.executable, "-W", "error", str(EXAMPLE), "check", "--fail-level", "WARNING"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
