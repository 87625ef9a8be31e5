"""A small upload app: every upload is a session of its own, with a private workspace.

    pip install '.[fastapi]' uvicorn python-multipart      # in a checkout of the repository
    uvicorn --app-dir examples/fastapi_upload --factory app:create_app

Open http://localhost:8000 in several tabs and upload at once: no tab ever sees another's files.
"""

from collections.abc import AsyncIterator
from html import escape
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from sessionguard import Session
from sessionguard.adapters.fastapi import CurrentVisit, install
from sessionguard.errors import PathEscapeError

PAGE = """
<!doctype html>
<title>Uploads</title>
<form method="post" action="/uploads" enctype="multipart/form-data">
  <input type="file" name="files" multiple required> <button>Upload</button>
</form>
<ul>{items}</ul>
"""
PIECE = 64 * 1024


def create_app(**settings: Any) -> FastAPI:
    """Give the app; `settings` go over the defaults, which keep everything in the folder `var`."""
    Path("var").mkdir(exist_ok=True)
    defaults = {"SESSIONGUARD_URL": "sqlite:///var/sessions.db", "SESSIONGUARD_WORKSPACES": "var/workspaces"}
    app = install(FastAPI(), config={**defaults, **settings})
    app.add_api_route("/", home)
    app.add_api_route("/uploads", upload, methods=["POST"])
    app.add_api_route("/uploads/{upload_id}", show)
    app.add_api_route("/uploads/{upload_id}/{name}", download)
    return app


async def own_upload(upload_id: str, visit: CurrentVisit) -> Session:
    """Give the visitor's upload with this id; 404 for what is unknown, over or somebody else's, all alike."""
    found = await visit.own_session(upload_id, "upload")
    if found is None:
        raise HTTPException(404)
    return found


OwnUpload = Annotated[Session, Depends(own_upload)]


async def home(visit: CurrentVisit) -> HTMLResponse:
    """List the visitor's uploads."""
    uploads = await visit.own_sessions("upload")
    links = (f'<li><a href="/uploads/{escape(found.id)}">{escape(found.id)}</a></li>' for found in uploads)
    return HTMLResponse(PAGE.format(items="".join(links)))


async def upload(files: list[UploadFile], visit: CurrentVisit) -> Response:
    """Store the files of one form in a session of their own; 400 says what is wrong with a name, or that none came."""
    # What a browser sends when no file was chosen is a file without a name.
    if not all(file.filename for file in files):
        raise HTTPException(400, "choose a file first; each file needs a name")
    fresh = await visit.new_session("upload")
    try:
        async with visit.workspace(fresh) as workspace:
            for file in files:
                # The name comes from the client. One that could lead out of the workspace is refused.
                await workspace.write(file.filename, pieces(file))
    except BaseException as error:
        # All or nothing: no session stays behind that nobody was told of.
        await visit.guard.end(fresh)
        if isinstance(error, PathEscapeError):
            raise HTTPException(400, f"the file name {error.name} cannot be used: {error.problem}") from error
        raise
    return RedirectResponse(f"/uploads/{fresh.id}", 303)


async def show(found: OwnUpload, visit: CurrentVisit) -> dict[str, list[str]]:
    """Name the files of one upload."""
    async with visit.workspace(found) as workspace:
        return {"files": sorted(await workspace.list())}


async def download(found: OwnUpload, name: str, visit: CurrentVisit) -> StreamingResponse:
    """Give one file, as something to save and not to show: it may be HTML."""
    async with visit.workspace(found) as workspace:
        if name not in await workspace.list():
            raise HTTPException(404)

    async def body() -> AsyncIterator[bytes]:
        async with visit.workspace(found) as workspace, workspace.open(name) as file:
            while piece := await file.read(PIECE):
                yield piece

    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(body(), media_type="application/octet-stream", headers=headers)


async def pieces(file: UploadFile) -> AsyncIterator[bytes]:
    """Give what was uploaded, a piece at a time."""
    while piece := await file.read(PIECE):
        yield piece
