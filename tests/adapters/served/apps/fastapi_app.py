"""The application that is served, in FastAPI: the same addresses and answers as the others."""

import asyncio
import os
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from sessionguard import AsyncSessionGuard, Session, current_session
from sessionguard.adapters.external import ExternalIds, Select
from sessionguard.adapters.fastapi import CurrentVisit, ExternalSession, external_router, install
from sessionguard.adapters.modes import concurrency, read_only
from tests.adapters.served.apps.pages import HOME
from tests.adapters.served.gates import wait_at

guard = AsyncSessionGuard.open(os.environ["STORE_URL"], workspaces=os.environ["WORKSPACES"])
views = APIRouter(default_response_class=PlainTextResponse)


def create_app() -> FastAPI:
    """Give the application, configured by the environment."""
    app = FastAPI()
    external = ExternalIds(policy=Select(expose_id="external"), caller=program, may_debug=is_operator)
    install(app, guard, lock_timeout=timedelta(seconds=60), external=external)
    app.include_router(views)
    app.include_router(external_router())
    return app


async def program(request: Request) -> str | None:
    """Give the program that calls: in a real application, whose key it presents."""
    return request.headers.get("X-Api-Key")


async def is_operator(request: Request) -> bool:
    """Tell who may look at the debug page."""
    return request.headers.get("X-Operator") == "yes"


@views.get("/ready")
async def ready() -> str:
    """Say which server this is."""
    return os.environ["SERVED_SIGN"]


# The visitor


@views.get("/", response_class=HTMLResponse)
async def home() -> str:
    """Show who is logged in."""
    return HOME.format(owner=owner())


@views.get("/me", response_class=JSONResponse)
@read_only
async def me(request: Request) -> dict[str, object]:
    """Tell what is kept of the visitor."""
    return {"owner": owner(), "data": dict(request.session)}


@views.get("/visit", response_class=JSONResponse)
async def visit(request: Request) -> dict[str, int]:
    """Count the visits of everybody who looks."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"visits": request.session["visits"]}


@views.post("/login")
async def login(visit: CurrentVisit, owner: str) -> str:
    """Log in whoever says so."""
    return (await visit.login(owner)).id


@views.post("/logout")
async def logout(visit: CurrentVisit) -> str:
    """Log out."""
    await visit.logout()
    return "bye"


@views.post("/rotate")
async def rotate(visit: CurrentVisit) -> str:
    """Give the visitor a new token."""
    await visit.rotate()
    return "ok"


@views.post("/put")
async def put(request: Request, field: str, value: str, gate: str | None = None) -> str:
    """Keep one value, whose making may take a while."""
    seen = request.session.get(field)
    await asyncio.to_thread(wait_at, gate)
    request.session[field] = value
    return f"it was {seen}"


def owner() -> str | None:
    """Give who the visitor is to the guard: a name after a login, before it one that nobody else has."""
    visitor = current_session()
    return None if visitor is None else visitor.owner


# Counting


@views.post("/count/merge")
@concurrency("merge")
async def count_merging(request: Request, field: str) -> str:
    """Count beside others."""
    return count(request, field)


@views.post("/count/strict")
@concurrency("strict")
async def count_strictly(request: Request, field: str) -> str:
    """Count, or be told that somebody else has."""
    return count(request, field)


@views.post("/count/serial")
@concurrency("serial")
async def count_in_turn(request: Request, field: str) -> str:
    """Count, one after the other."""
    return count(request, field)


def count(request: Request, field: str) -> str:
    """Count up."""
    request.session[field] = request.session.get(field, 0) + 1
    return str(request.session[field])


# Tabs with sessions of their own


async def tab_session(visit: CurrentVisit, tab: str) -> Session:
    """Give the session of one of the visitor's tabs; 404 for all others."""
    found = await visit.own_session(tab, "tab")
    if found is None:
        raise HTTPException(404)
    return found


OwnTab = Annotated[Session, Depends(tab_session)]


@views.post("/tabs", response_class=JSONResponse)
async def open_tab(visit: CurrentVisit) -> dict[str, str]:
    """Give a tab a session of its own."""
    return {"tab": (await visit.new_session("tab")).id}


@views.get("/tabs/{tab}", response_class=JSONResponse)
async def show_tab(visit: CurrentVisit, found: OwnTab) -> dict[str, object]:
    """Tell what is kept of a tab."""
    async with visit.workspace(found) as workspace:
        return {"data": dict(found.data), "files": sorted(await workspace.list())}


@views.post("/tabs/{tab}")
async def put_in_tab(found: OwnTab, field: str, value: str) -> str:
    """Keep one value of a tab."""
    await guard.save(found, {field: value})
    return "ok"


@views.post("/tabs/{tab}/files")
async def upload(visit: CurrentVisit, found: OwnTab, file: UploadFile, gate: str | None = None) -> str:
    """Keep a file of a tab."""
    await asyncio.to_thread(wait_at, gate)
    async with visit.workspace(found) as workspace:
        await workspace.write(file.filename or "", file.file)
    return "ok"


@views.get("/tabs/{tab}/files/{name}", response_class=Response)
async def download(visit: CurrentVisit, found: OwnTab, name: str) -> Response:
    """Give a file of a tab."""
    async with visit.workspace(found) as workspace:
        try:
            return Response(await workspace.read(name), media_type="application/octet-stream")
        except FileNotFoundError:
            raise HTTPException(404) from None


# What other programs name


@views.post("/documents/{name}", response_class=JSONResponse)
async def put_document(named: ExternalSession, name: str) -> list[str]:
    """Keep a document in the session that the program names."""
    if named is None:
        raise HTTPException(400)
    kept = await guard.modify(named, lambda data: {**data, "documents": [*data.get("documents", []), name]})
    return list(kept.data["documents"])


# What caches are tempted by


@views.get("/account/{name:path}", response_class=Response)
async def account(name: str) -> Response:
    """Show what only its owner may see, and call it a style sheet that all may keep, as careless views do."""
    return style_sheet(owner())


@views.get("/by-hand/{name:path}", response_class=Response)
async def by_hand(request: Request, name: str) -> Response:
    """Show the same without the adapter: what a cache makes of that is what the adapter is there for."""
    found = await guard.load(request.cookies.get("__Host-sg", ""))
    return style_sheet(None if found is None else found.owner)


def style_sheet(owner: str | None) -> Response:
    """Give a page that may be kept by all."""
    return Response(f"owner: {owner}", media_type="text/css", headers={"Cache-Control": "public, max-age=600"})
