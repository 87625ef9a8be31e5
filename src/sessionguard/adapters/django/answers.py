"""Errors of the library as Django responses, by the one table of the HTTP layer."""

import logging
from http import HTTPStatus

from django.http import HttpResponse

from sessionguard.adapters import http
from sessionguard.errors import SessionGuardError

_log = logging.getLogger("sessionguard.adapters")


def answer(error: SessionGuardError) -> HttpResponse | None:
    """Give the response to `error`; None if it is the program's fault, which Django tells as any other exception."""
    told = http.answer_to(error)
    if told.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    # The client learns the status; the rest is for the log. No error of ours holds a token or a raw line break.
    _log.warning("%s %s: %s", told.status, error.code, error)
    response = HttpResponse(HTTPStatus(told.status).phrase, status=told.status, content_type="text/plain")
    if told.retry_after_seconds is not None:
        response["Retry-After"] = str(told.retry_after_seconds)
    return response
