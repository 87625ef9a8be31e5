"""Errors of the library as Flask responses, by the one table of the HTTP layer."""

from flask import Flask, Response, current_app
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import default_exceptions

from sessionguard.adapters import http
from sessionguard.errors import SessionGuardError


def register(app: Flask) -> None:
    """Have `app` answer our errors by the table, unless it has a handler of its own for them."""
    # One handler, for the base class: an application's handler for any of our errors is nearer and wins.
    app.error_handler_spec[None][None].setdefault(SessionGuardError, answer)


def answer(error: SessionGuardError) -> ResponseReturnValue:
    """Give the response to `error`; what is the program's fault is raised on, as any other exception is.

    It passes through the application's handlers for that status, so its error pages look as everywhere else.
    """
    told = http.answer_to(error)
    if told.status not in default_exceptions or told.status == 500:
        raise error
    # The client learns the status; the rest is for the log. No error of ours holds a token or a raw line break.
    current_app.logger.warning("%s %s: %s", told.status, error.code, error)
    if told.retry_after_seconds is not None:
        return current_app.handle_http_exception(
            default_exceptions[told.status](retry_after=told.retry_after_seconds)  # type: ignore[call-arg]
        )
    return current_app.handle_http_exception(default_exceptions[told.status]())


def replace(response: Response, replacement: Response) -> None:
    """Make `response`, which Flask is about to send, say what `replacement` says."""
    close = getattr(response.response, "close", None)
    if close is not None:
        close()
    response.status = replacement.status
    response.headers = replacement.headers
    response.response = replacement.response
    response.direct_passthrough = False
