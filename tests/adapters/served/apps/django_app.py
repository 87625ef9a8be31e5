"""The application that is served, in Django, in one file: the same addresses and answers as the others.

Views are blocking, but those that count, which are async: each kind runs under WSGI as well as under ASGI.
"""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.http import require_POST

from sessionguard import Session, current_session
from sessionguard.adapters.external import ExternalIds, Select
from sessionguard.adapters.modes import concurrency, read_only
from sessionguard.adapters.visits import Visit
from tests.adapters.served.apps.pages import HOME
from tests.adapters.served.gates import wait_at


def program(request: HttpRequest) -> str | None:
    """Give the program that calls: in a real application, whose key it presents."""
    return request.headers.get("X-Api-Key")


def is_operator(request: HttpRequest) -> bool:
    """Tell who may look at the debug page."""
    return request.headers.get("X-Operator") == "yes"


settings.configure(
    SECRET_KEY="nothing here is signed with this",
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["sessionguard.adapters.django"],
    MIDDLEWARE=["sessionguard.adapters.django.middleware.SessionGuardMiddleware"],
    SESSION_ENGINE="sessionguard.adapters.django.engine",
    SESSIONGUARD_URL=os.environ["STORE_URL"],
    SESSIONGUARD_WORKSPACES=os.environ["WORKSPACES"],
    SESSIONGUARD_LOCK_TIMEOUT=60,
    SESSIONGUARD_EXTERNAL_IDS=ExternalIds(policy=Select(expose_id="external"), caller=program, may_debug=is_operator),
)

# What reads the settings comes after them.
from sessionguard.adapters.django.external import external_session  # noqa: E402


class Request(HttpRequest):
    """What views are given."""

    sessionguard: Visit


def create_wsgi() -> WSGIHandler:
    """Give the application for servers like gunicorn."""
    return get_wsgi_application()


def create_asgi() -> ASGIHandler:
    """Give the application for servers like uvicorn."""
    return get_asgi_application()


def ready(request: Request) -> HttpResponse:
    """Say which server this is."""
    return HttpResponse(os.environ["SERVED_SIGN"])


# The visitor


def home(request: Request) -> HttpResponse:
    """Show who is logged in."""
    return HttpResponse(HOME.format(owner=owner()))


@read_only
def me(request: Request) -> HttpResponse:
    """Tell what is kept of the visitor."""
    return JsonResponse({"owner": owner(), "data": dict(request.session.items())})


def visit(request: Request) -> HttpResponse:
    """Count the visits of everybody who looks."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


@require_POST
def login(request: Request) -> HttpResponse:
    """Log in whoever says so."""
    return HttpResponse(request.sessionguard.login(request.GET["owner"]).id)


@require_POST
def logout(request: Request) -> HttpResponse:
    """Log out."""
    request.sessionguard.logout()
    return HttpResponse("bye")


@require_POST
def rotate(request: Request) -> HttpResponse:
    """Give the visitor a new token."""
    request.session.cycle_key()
    return HttpResponse("ok")


@require_POST
def put(request: Request) -> HttpResponse:
    """Keep one value, whose making may take a while."""
    seen = request.session.get(request.GET["field"])
    wait_at(request.GET.get("gate"))
    request.session[request.GET["field"]] = request.GET["value"]
    return HttpResponse(f"it was {seen}")


def owner() -> str | None:
    """Give who the visitor is to the guard: a name after a login, before it one that nobody else has."""
    visitor = current_session()
    return None if visitor is None else visitor.owner


# Counting


@concurrency("merge")
async def count_merging(request: Request) -> HttpResponse:
    """Count beside others."""
    return await count(request)


@concurrency("strict")
async def count_strictly(request: Request) -> HttpResponse:
    """Count, or be told that somebody else has."""
    return await count(request)


@concurrency("serial")
async def count_in_turn(request: Request) -> HttpResponse:
    """Count, one after the other."""
    return await count(request)


async def count(request: Request) -> HttpResponse:
    """Count up."""
    field = request.GET["field"]
    value = await request.session.aget(field, 0) + 1
    await request.session.aset(field, value)
    return HttpResponse(str(value))


# Tabs with sessions of their own


@require_POST
def open_tab(request: Request) -> HttpResponse:
    """Give a tab a session of its own."""
    return JsonResponse({"tab": request.sessionguard.new_session("tab").id})


def tab(request: Request, tab: str) -> HttpResponse:
    """Tell what is kept of a tab, or keep one value of it."""
    found = own_tab(request, tab)
    if request.method == "POST":
        request.sessionguard.guard.save(found, {request.GET["field"]: request.GET["value"]})
        return HttpResponse("ok")
    with request.sessionguard.workspace(found) as workspace:
        return JsonResponse({"data": dict(found.data), "files": sorted(workspace.list())})


@require_POST
def upload(request: Request, tab: str) -> HttpResponse:
    """Keep a file of a tab."""
    sent = request.FILES["file"]
    assert isinstance(sent, UploadedFile)
    wait_at(request.GET.get("gate"))
    with request.sessionguard.workspace(own_tab(request, tab)) as workspace:
        workspace.write(sent.name or "", sent)
    return HttpResponse("ok")


def download(request: Request, tab: str, name: str) -> HttpResponse:
    """Give a file of a tab."""
    with request.sessionguard.workspace(own_tab(request, tab)) as workspace:
        try:
            return HttpResponse(workspace.read(name), content_type="application/octet-stream")
        except FileNotFoundError:
            raise Http404 from None


def own_tab(request: Request, tab: str) -> Session:
    """Give the session of one of the visitor's tabs; 404 for all others."""
    found = request.sessionguard.own_session(tab, "tab")
    if found is None:
        raise Http404
    return found


# What other programs name


def put_document(request: Request, name: str) -> HttpResponse:
    """Keep a document in the session that the program names."""
    named = external_session(request)
    if named is None:
        return HttpResponse(status=400)
    kept = request.sessionguard.guard.modify(
        named, lambda data: {**data, "documents": [*data.get("documents", []), name]}
    )
    return JsonResponse(kept.data["documents"], safe=False)


# What caches are tempted by


def account(request: Request, name: str) -> HttpResponse:
    """Show what only its owner may see, and call it a style sheet that all may keep, as careless views do."""
    return style_sheet(owner())


def by_hand(request: Request, name: str) -> HttpResponse:
    """Show the same without the session: what a cache makes of that is what the middleware is there for."""
    found = request.sessionguard.guard.load(request.COOKIES.get("__Host-sg", ""))
    return style_sheet(None if found is None else found.owner)


def style_sheet(owner: str | None) -> HttpResponse:
    """Give a page that may be kept by all."""
    return HttpResponse(f"owner: {owner}", content_type="text/css", headers={"Cache-Control": "public, max-age=600"})


urlpatterns = [
    path("", include("sessionguard.adapters.django.external")),
    path("ready", ready),
    path("", home),
    path("me", me),
    path("visit", visit),
    path("login", login),
    path("logout", logout),
    path("rotate", rotate),
    path("put", put),
    path("count/merge", count_merging),
    path("count/strict", count_strictly),
    path("count/serial", count_in_turn),
    path("documents/<name>", put_document),
    path("tabs", open_tab),
    path("tabs/<tab>", tab),
    path("tabs/<tab>/files", upload),
    path("tabs/<tab>/files/<name>", download),
    path("account/<path:name>", account),
    path("by-hand/<path:name>", by_hand),
]
