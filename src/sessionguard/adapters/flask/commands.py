"""`flask sessionguard ...`: looks after the sessions of an application, over the guard of that application."""

from collections.abc import Iterator

import click
from flask.cli import with_appcontext

from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.visits import VisitRules, blocking_guard
from sessionguard.core.findings import Finding

_NAME = "sessionguard"
# All of it is for the parser of the commands, which has its own help.
_PASSED_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


def command_of(rules: VisitRules) -> click.Command:
    """Give the command for the application with these rules: those of `sessionguard` that look after sessions."""

    @click.command(_NAME, context_settings=_PASSED_ON, short_help="Look after the sessions of this application.")
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @click.pass_context
    @with_appcontext
    def run(context: click.Context, arguments: tuple[str, ...]) -> None:
        from sessionguard.cli import application

        findings = tuple(_findings_of(rules))
        context.exit(application.run(blocking_guard(rules), f"flask {_NAME}", arguments, findings))

    return run


def _findings_of(rules: VisitRules) -> Iterator[Finding]:
    transport = rules.transport
    if not isinstance(transport, CookieSettings):
        return
    if not transport.secure:
        message = "the cookie is sent over plain HTTP, too, where anyone on the way can read the token"
        yield Finding("warning", "cookie", message, "leave SESSIONGUARD_COOKIE_SECURE out, and serve over HTTPS")
    if transport.domain is not None:
        message = f"every host below {transport.domain} gets the cookie"
        yield Finding("warning", "cookie", message, "leave SESSIONGUARD_COOKIE_DOMAIN out, unless they share logins")
