"""The example application does what it shows."""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sessionguard import SessionGuard

EXAMPLE = Path(__file__).parents[3] / "examples" / "fastapi_upload" / "app.py"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Give the example, with everything it keeps in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    specification = importlib.util.spec_from_file_location("fastapi_upload_app", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    built: FastAPI = module.create_app()
    return built


@pytest.fixture
def visitor(app: FastAPI) -> Iterator[TestClient]:
    """Give a browser; the application is started before and stopped after it."""
    with TestClient(app, base_url="https://testserver") as client:
        yield client


def files(*names_and_contents: tuple[str, bytes]) -> Any:
    """Give the files of one form."""
    return [("files", (name, content)) for name, content in names_and_contents]


def uploads() -> int:
    """Give how many active uploads all visitors have."""
    with SessionGuard.open("sqlite:///var/sessions.db", sweep_interval=None) as guard:
        return sum(1 for _ in guard.sessions(scope="upload"))


def test_tabs_and_visitors_stay_apart(app: FastAPI, visitor: TestClient) -> None:
    """Two uploads of the same name are two files, and another visitor reaches neither."""
    other = TestClient(app, base_url="https://testserver")
    places = []
    for content in (b"first", b"second"):
        reply = visitor.post("/uploads", files=files(("table.csv", content)), follow_redirects=False)
        assert reply.status_code == 303
        places.append(reply.headers["Location"])
    assert len(set(places)) == 2
    assert [visitor.get(place).json() for place in places] == [{"files": ["table.csv"]}] * 2
    assert [visitor.get(f"{place}/table.csv").content for place in places] == [b"first", b"second"]
    assert [visitor.get(f"{places[0]}/none.csv").status_code] == [404]
    visitor.portal, other.portal = None, visitor.portal
    assert [other.get(f"{place}/table.csv").status_code for place in places] == [404, 404]
    assert places[0] not in other.get("/").text
    visitor.portal, other.portal = other.portal, None
    assert all(place in visitor.get("/").text for place in places)


def test_tabs_that_upload_at_once_are_all_listed(visitor: TestClient) -> None:
    """What a tab stores while others are at it is in the list, as are the others'."""

    def upload(content: bytes) -> int:
        reply = visitor.post("/uploads", files=files(("a.txt", content)), follow_redirects=False)
        return int(reply.status_code)

    assert upload(b"first") == 303
    with ThreadPoolExecutor(4) as tabs:
        assert list(tabs.map(upload, [b"1", b"2", b"3", b"4"])) == [303] * 4
    assert visitor.get("/").text.count("<li>") == 5


def test_name_that_leads_out_is_refused(visitor: TestClient) -> None:
    """The name that a browser sends cannot choose where the file goes; it is told so, and no session stays behind."""
    reply = visitor.post("/uploads", files=files(("good.txt", b"x"), ("../../evil.txt", b"x")))
    assert reply.status_code == 400
    assert "may not start with a dot" in reply.text
    assert uploads() == 0


def test_form_without_a_file_is_refused(visitor: TestClient) -> None:
    """A form that was sent before a file was chosen opens no session."""
    assert visitor.post("/uploads").status_code == 422
    assert uploads() == 0
