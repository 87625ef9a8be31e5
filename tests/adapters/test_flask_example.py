"""The example application does what it shows."""

import importlib.util
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from sessionguard import Session, SessionGuard
from sessionguard.core.events import Event, SessionCreated
from sessionguard.workspaces.calls import WorkspaceCalls

EXAMPLE = Path(__file__).parents[2] / "examples" / "flask_upload" / "app.py"


@pytest.fixture
def app(tmp_path: Path) -> Any:
    """Give the example, with everything it keeps in a temporary folder."""
    specification = importlib.util.spec_from_file_location("flask_upload_app", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    app: Flask = module.create_app(
        SESSIONGUARD_URL=f"sqlite:///{tmp_path}/sessions.db", SESSIONGUARD_WORKSPACES=str(tmp_path / "workspaces")
    )
    yield app
    with app.app_context():
        module.extension.guard.close()


def test_tabs_and_visitors_stay_apart(app: Flask) -> None:
    """Two uploads of the same name are two files, and another visitor reaches neither."""
    visitor, other = app.test_client(), app.test_client()
    places = []
    for content in (b"first", b"second"):
        response = visitor.post("/uploads", data={"file": (BytesIO(content), "table.csv")})
        assert response.status_code == 303
        places.append(response.headers["Location"])
    assert len(set(places)) == 2
    assert [visitor.get(place).json for place in places] == [{"files": ["table.csv"]}] * 2
    assert [visitor.get(f"{place}/table.csv").data for place in places] == [b"first", b"second"]
    assert [other.get(f"{place}/table.csv").status_code for place in places] == [404, 404]
    assert all(place in visitor.get("/").text for place in places)
    assert places[0] not in other.get("/").text


def test_tabs_that_upload_at_once_are_all_listed(app: Flask) -> None:
    """What a tab stores while another one is at it is in the list, as is the other's."""
    tabs = [app.test_client() for _ in range(2)]
    tabs[0].post("/uploads", data={"file": (BytesIO(b"0"), "a.txt")})
    cookie = tabs[0].get_cookie("__Host-sg", "localhost")
    assert cookie is not None
    tabs[1].set_cookie("__Host-sg", cookie.value, secure=True)
    places: list[str] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, SessionCreated) and event.scope == "upload" and not places:
            places.append("/uploads/")
            places.append(tabs[1].post("/uploads", data={"file": (BytesIO(b"1"), "b.txt")}).headers["Location"])

    app.extensions["sessionguard"].guard.subscribe(meanwhile)
    places.append(tabs[0].post("/uploads", data={"file": (BytesIO(b"2"), "c.txt")}).headers["Location"])
    listed = tabs[0].get("/").text
    assert listed.count("<li>") == 3
    assert all(place in listed for place in places)


def test_upload_that_fails_leaves_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the error is, no session stays behind that nobody was told of."""
    monkeypatch.setattr(WorkspaceCalls, "write", broken)
    assert app.test_client().post("/uploads", data={"file": (BytesIO(b"x"), "a.txt")}).status_code == 500
    assert uploads_of(app) == []


def test_name_that_leads_out_is_refused(app: Flask) -> None:
    """The name that a browser sends cannot choose where the file goes; it is told so, and no session stays behind."""
    good = (BytesIO(b"x"), "good.txt")
    response = app.test_client().post("/uploads", data={"file": [good, (BytesIO(b"x"), "../../evil.txt")]})
    assert response.status_code == 400
    assert "may not start with a dot" in response.text
    assert uploads_of(app) == []


@pytest.mark.parametrize("data", [{}, {"file": (BytesIO(b""), "")}])
def test_form_without_a_file_is_refused(app: Flask, data: dict[str, Any]) -> None:
    """A form that was sent before a file was chosen is told so, and opens no session."""
    response = app.test_client().post("/uploads", data=data, content_type="multipart/form-data")
    assert response.status_code == 400
    assert "choose a file" in response.text
    assert uploads_of(app) == []


def test_missing_file_is_not_found(app: Flask) -> None:
    """A name that no file of the upload has is 404."""
    visitor = app.test_client()
    place = visitor.post("/uploads", data={"file": (BytesIO(b"x"), "a.txt")}).headers["Location"]
    assert visitor.get(f"{place}/b.txt").status_code == 404


def broken(*_: Any, **__: Any) -> None:
    """Fail as no part of this library does."""
    raise ZeroDivisionError


def uploads_of(app: Flask) -> list[Session]:
    """Give the active uploads of all visitors."""
    guard: SessionGuard = app.extensions["sessionguard"].guard
    return list(guard.sessions(scope="upload"))
