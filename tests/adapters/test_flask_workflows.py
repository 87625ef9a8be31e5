"""Sessions of one visitor beside each other: uploads and tabs at once, devices, limits, and what ends them all."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO
from threading import Barrier
from typing import Any

import pytest
from flask import abort, request, session

from sessionguard import SessionPolicy, current_session
from sessionguard.core.tokens import is_anonymous
from tests.adapters.conftest import BuildSite
from tests.adapters.site import Site, token_of

TABS = 5


def with_uploads(site: Site) -> Site:
    """Give `site` an upload of two files that belong together, and a wizard that keeps its step in the same session."""
    extension = site.extension

    @site.app.post("/uploads")
    def upload() -> dict[str, str]:
        fresh = extension.new_session("upload", {"step": 0})
        with extension.workspace(fresh) as workspace:
            for name, file in request.files.items():
                # Under the same names in every upload, as the parts of one shapefile would be.
                workspace.write(name, file.stream)
        return {"id": fresh.id, "owner": fresh.owner}

    @site.app.get("/uploads/<upload_id>/<name>")
    def read(upload_id: str, name: str) -> bytes:
        with extension.workspace(extension.own_session(upload_id, "upload") or abort(404)) as workspace:
            return bytes(workspace.read(name))

    @site.app.post("/uploads/<upload_id>/step")
    def step(upload_id: str) -> str:
        found = extension.own_session(upload_id, "upload") or abort(404)
        return str(extension.guard.modify(found, lambda data: data.update(step=data["step"] + 1)).data["step"])

    @site.app.delete("/uploads/<upload_id>")
    def end(upload_id: str) -> str:
        extension.guard.end(extension.own_session(upload_id, "upload") or abort(404))
        return ""

    return site


def with_devices(site: Site) -> Site:
    """Give `site` a login, the list of own devices and three ways to log out."""
    extension = site.extension

    @site.app.post("/login/<owner>")
    def login(owner: str) -> str:
        session["device"] = request.headers["User-Agent"]
        return extension.login(owner).id

    @site.app.get("/devices")
    def devices() -> list[Any]:
        return [found.data["device"] for found in extension.visit.own_sessions()]

    @site.app.post("/logout")
    def logout() -> str:
        return str(extension.logout() is not None)

    @site.app.post("/logout/others")
    def others() -> str:
        return str(extension.visit.logout_others())

    @site.app.post("/logout/everywhere")
    def everywhere() -> str:
        return str(extension.visit.logout_everywhere())

    @site.app.get("/me")
    def me() -> str:
        found = current_session()
        return "nobody" if found is None or is_anonymous(found.owner) else found.owner

    return site


# Uploads and tabs


def test_uploads_of_one_browser_at_once_are_five_sessions(build: BuildSite) -> None:
    """Five tabs send two files each at one moment: five ids, one visitor, and no tab reads what another sent."""
    site = with_uploads(build())

    @site.view
    def begin() -> str:
        session["a"] = 1
        return ""

    browser = site.client()
    browser.post("/begin")
    headers = {"Cookie": f"__Host-sg={token_of(browser)}"}
    start = Barrier(TABS, timeout=30)

    def send(tab: int) -> Any:
        files = {name: (BytesIO(f"{name} of {tab}".encode()), f"roads{name}") for name in ("shp", "dbf")}
        start.wait()
        return site.sender().post("/uploads", headers=headers, data=files).json

    with ThreadPoolExecutor(TABS) as pool:
        uploads = list(pool.map(send, range(TABS)))
    ids = [upload["id"] for upload in uploads]
    assert len(set(ids)) == TABS
    assert len({upload["owner"] for upload in uploads}) == 1
    stranger = site.client()
    stranger.post("/begin")
    for tab, upload_id in enumerate(ids):
        for name in ("shp", "dbf"):
            assert browser.get(f"/uploads/{upload_id}/{name}").text == f"{name} of {tab}"
            assert stranger.get(f"/uploads/{upload_id}/{name}").status_code == 404
    # One tab's end touches no other.
    assert browser.delete(f"/uploads/{ids[0]}").status_code == 200
    assert browser.get(f"/uploads/{ids[0]}/shp").status_code == 404
    assert {browser.get(f"/uploads/{upload_id}/shp").status_code for upload_id in ids[1:]} == {200}


def test_tabs_that_go_on_at_once_keep_their_own_steps(build: BuildSite) -> None:
    """Each wizard counts its own steps, whatever the others do meanwhile."""
    site = with_uploads(build())
    browser = site.client()
    ids = [browser.post("/uploads").json["id"] for _ in range(3)]  # type: ignore[index]
    headers = {"Cookie": f"__Host-sg={token_of(browser)}"}

    def go_on(place: int) -> str:
        return [site.sender().post(f"/uploads/{ids[place]}/step", headers=headers).text for _ in range(place + 1)][-1]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(go_on, range(3))) == ["1", "2", "3"]


@pytest.mark.parametrize("on_limit", ["refuse", "end_oldest"])
def test_workflows_of_one_visitor_are_limited(build: BuildSite, on_limit: Any) -> None:
    """One more upload than allowed is answered 409, or ends the oldest; other visitors are not concerned."""
    policy = {"default": SessionPolicy(), "upload": SessionPolicy(max_active=2, on_limit=on_limit)}
    site = with_uploads(build(policy=policy))
    browser, other = site.client(), site.client()

    def send() -> Any:
        site.clock.advance(timedelta(seconds=1))
        return browser.post("/uploads", data={"f": (BytesIO(b"1"), "f")})

    first, second, third = send().json, send().json, send()
    assert other.post("/uploads").status_code == 200
    is_refused = on_limit == "refuse"
    assert third.status_code == (409 if is_refused else 200)
    assert browser.get(f"/uploads/{first['id']}/f").status_code == (200 if is_refused else 404)
    assert browser.get(f"/uploads/{second['id']}/f").status_code == 200


# Devices


def logged_in(site: Site, device: str) -> Any:
    """Give a browser in which Ana has logged in."""
    client = site.app.test_client()
    client.environ_base["HTTP_USER_AGENT"] = device
    assert client.post("/login/ana").status_code == 200
    return client


def test_visitor_sees_own_devices_and_logs_them_out(build: BuildSite) -> None:
    """Newest first; the others, then all. Uploads stay with the one who stays, and go with the last."""
    site = with_uploads(with_devices(build()))
    bob = site.client()
    bob.post("/login/bob")
    phone, laptop, tablet = (logged_in(site, device) for device in ("phone", "laptop", "tablet"))
    upload = phone.post("/uploads").json["id"]
    assert sorted(laptop.get("/devices").json) == ["laptop", "phone", "tablet"]
    assert laptop.post("/logout/others").text == "2"
    assert [client.get("/me").text for client in (phone, laptop, tablet)] == ["nobody", "ana", "nobody"]
    assert laptop.post(f"/uploads/{upload}/step").text == "1"
    tablet.post("/login/ana")
    response = laptop.post("/logout/everywhere")
    assert response.text == "3"
    assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert [client.get("/me").text for client in (phone, laptop, tablet, bob)] == ["nobody"] * 3 + ["bob"]
    assert [found.owner for found in site.guard.sessions()] == ["bob"]
    assert site.client().post("/logout/others").text == "0"


@pytest.mark.parametrize("on_limit", ["refuse", "end_oldest"])
def test_login_beyond_the_limit(build: BuildSite, on_limit: Any) -> None:
    """It is answered 409 and the visitor stays nobody, or it ends the oldest device."""
    site = with_devices(build(policy=SessionPolicy(max_active=2, on_limit=on_limit)))
    phone = logged_in(site, "phone")
    site.clock.advance(timedelta(seconds=1))
    laptop = logged_in(site, "laptop")
    site.clock.advance(timedelta(seconds=1))
    tablet = site.client()
    is_refused = on_limit == "refuse"
    assert tablet.post("/login/ana").status_code == (409 if is_refused else 200)
    seen = [client.get("/me").text for client in (phone, laptop, tablet)]
    assert seen == (["ana", "ana", "nobody"] if is_refused else ["nobody", "ana", "ana"])
    if is_refused:
        phone.post("/logout")
        assert tablet.post("/login/ana").status_code == 200


def test_logins_at_once_keep_to_the_limit(build: BuildSite) -> None:
    """However many devices log in at one moment, as many as allowed do, and the others are answered 409."""
    site = with_devices(build(policy=SessionPolicy(max_active=3)))
    start = Barrier(8, timeout=30)

    def login(_: int) -> int:
        client = site.client()
        start.wait()
        return client.post("/login/ana").status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(login, range(8)))
    assert statuses == [200] * 3 + [409] * 5
    assert sum(1 for _ in site.guard.sessions(owner="ana")) == 3


# Time
