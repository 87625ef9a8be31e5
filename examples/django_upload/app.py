"""A small upload site: every upload is a session of its own, with a private workspace.

    pip install '.[django]'      # in a checkout of the repository
    python examples/django_upload/app.py runserver

Open http://localhost:8000 in several tabs and upload at once: no tab ever sees another's files.
"""

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template import Context, Template
from django.urls import path
from django.utils.crypto import get_random_string
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_POST

from sessionguard import Session
from sessionguard.adapters.visits import Visit
from sessionguard.errors import PathEscapeError

PAGE = """
<!doctype html>
<title>Uploads</title>
<form method="post" action="/uploads" enctype="multipart/form-data">
  {% csrf_token %}
  <input type="file" name="file" multiple required> <button>Upload</button>
</form>
<ul>
{% for id in uploads %}
  <li><a href="{% url 'show' id %}">{{ id }}</a></li>
{% endfor %}
</ul>
"""

MIDDLEWARE = ["sessionguard.adapters.django.middleware.SessionGuardMiddleware"]


class Request(HttpRequest):
    """What the middleware makes of a request."""

    sessionguard: Visit


@require_GET
@csrf_protect
def home(request: Request) -> HttpResponse:
    """List the visitor's uploads."""
    uploads = [found.id for found in request.sessionguard.own_sessions("upload")]
    context = {"uploads": uploads, "csrf_token": get_token(request)}
    return HttpResponse(Template(PAGE).render(Context(context)))


@require_POST
@csrf_protect
def upload(request: Request) -> HttpResponseBase:
    """Store the files of one form in a session of their own; 400 says what is wrong with a name, or that none came."""
    files = request.FILES.getlist("file")
    if not files:
        return HttpResponseBadRequest("choose a file first")
    visit = request.sessionguard
    fresh = visit.new_session("upload")
    try:
        with visit.workspace(fresh) as workspace:
            for file in files:
                # The name comes from the client. One that could lead out of the workspace is refused.
                workspace.write(file.name or "", file)
    except BaseException as error:
        # All or nothing: no session stays behind that nobody was told of.
        visit.guard.end(fresh)
        if isinstance(error, PathEscapeError):
            return HttpResponseBadRequest(f"the file name {error.name} cannot be used: {error.problem}")
        raise
    return redirect("show", fresh.id)


@require_GET
def show(request: Request, upload_id: str) -> JsonResponse:
    """Name the files of one upload."""
    with request.sessionguard.workspace(own_upload(request, upload_id)) as workspace:
        return JsonResponse({"files": sorted(workspace.list())})


@require_GET
def download(request: Request, upload_id: str, name: str) -> HttpResponse:
    """Give one file, as something to save and not to show: it may be HTML."""
    with request.sessionguard.workspace(own_upload(request, upload_id)) as workspace:
        try:
            content: Any = workspace.read(name)
        except FileNotFoundError:
            raise Http404 from None
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return HttpResponse(content, content_type="application/octet-stream", headers=headers)


def own_upload(request: Request, upload_id: str) -> Session:
    """Give the visitor's upload with this id; 404 for what is unknown, over or somebody else's, all alike."""
    found = request.sessionguard.own_session(upload_id, "upload")
    if found is None:
        raise Http404
    return found


urlpatterns = [
    path("", home),
    path("uploads", upload),
    path("uploads/<upload_id>", show, name="show"),
    path("uploads/<upload_id>/<name>", download),
]


def main() -> None:
    """Run what `manage.py` would, with everything kept beside this file."""
    folder = Path(__file__).parent / "instance"
    settings.configure(
        DEBUG=True,
        SECRET_KEY=get_random_string(50),
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["sessionguard.adapters.django"],
        MIDDLEWARE=MIDDLEWARE,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        SESSION_ENGINE="sessionguard.adapters.django.engine",
        SESSION_COOKIE_NAME="__Host-sg",
        SESSIONGUARD_STORE=f"sqlite:///{folder / 'sessions.db'}",
        SESSIONGUARD_WORKSPACES=str(folder / "workspaces"),
    )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
