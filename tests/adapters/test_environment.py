"""Settings from the environment, with and without a guard that is passed, in the frameworks that read it."""

import logging
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from sessionguard import SessionGuard
from sessionguard.adapters import settings, wsgi
from sessionguard.adapters.asgi import SessionGuardMiddleware
from sessionguard.adapters.external import Select
from sessionguard.adapters.fastapi import external_router, install
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.adapters.http import CookieSettings, HeaderSettings
from sessionguard.adapters.visits import VisitRules
from sessionguard.errors import ConfigurationError
from tests.adapters.asgi.test_asgi_middleware import serve

Built = Callable[..., VisitRules]


def _installed(guard: Any = None, config: Any = None) -> VisitRules:
    """Give the rules of an application of FastAPI."""
    app = install(FastAPI(), guard, config=config)
    rules: VisitRules = app.user_middleware[0].args[0].rules  # type: ignore[attr-defined]
    return rules


def _wrapped(guard: Any = None, config: Any = None) -> VisitRules:
    """Give the rules of a WSGI application."""
    return wsgi.SessionGuardMiddleware(lambda environ, start: [], guard, config=config).rules


EVERY = pytest.mark.parametrize("built", [_installed, _wrapped])


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that puts settings into the environment."""

    def put(**texts: str) -> None:
        for key, text in texts.items():
            monkeypatch.setenv(settings.PREFIX + key, text)

    return put


@EVERY
def test_environment_holds_beside_a_guard(built: Built, say: Callable[..., None]) -> None:
    """The guard that is passed is used, and the cookie is as the environment says."""
    say(COOKIE_SECURE="false", SCOPE="5", LOCK_TIMEOUT="3", URL="postgresql://elsewhere")
    with SessionGuard.open("memory://") as guard:
        rules = built(guard)
        assert rules.guard is guard
        assert rules.transport == CookieSettings(secure=False)
        assert (rules.scope, rules.lock_timeout) == ("5", timedelta(seconds=3))


@EVERY
def test_environment_alone_opens_the_guard(built: Built, say: Callable[..., None]) -> None:
    """Without a configuration, and with the environment as the configuration, alike."""
    say(URL="memory://", COOKIE_SECURE="false")
    for config in (None, os.environ):
        assert built(config=config).transport == CookieSettings(secure=False)


@EVERY
def test_configuration_holds_beside_a_guard(built: Built, caplog: pytest.LogCaptureFixture) -> None:
    """What it says is taken or refused; what only a guard that is opened would take is told as having no effect."""
    with SessionGuard.open("memory://") as guard:
        assert built(guard, {"SESSIONGUARD_COOKIE_SECURE": False}).transport == CookieSettings(secure=False)
        with pytest.raises(ConfigurationError, match="is SESSIONGUARD_COOKIE_SECURE meant"):
            built(guard, {"SESSIONGUARD_COOKIE_SECUR": False})
        with pytest.raises(ConfigurationError, match="IDLE_TIMEOUT"):
            built(guard, {"SESSIONGUARD_IDLE_TIMEOUT": "end_oldest"})
        assert not caplog.records
        built(guard, {"SESSIONGUARD_MAX_ACTIVE": 2})
    assert "SESSIONGUARD_MAX_ACTIVE: without effect, for a guard was passed" in caplog.text


def test_flask_tells_of_limits_beside_a_guard(caplog: pytest.LogCaptureFixture) -> None:
    """They would limit nothing."""
    app = Flask("app")
    app.config["SESSIONGUARD_MAX_ACTIVE"] = 2
    with SessionGuard.open("memory://") as guard:
        SessionGuardExtension(app, guard)
    assert "SESSIONGUARD_MAX_ACTIVE: without effect" in caplog.text


@EVERY
def test_variables_of_the_application_are_left_alone(
    built: Built, say: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """Beside a guard, which it may have opened with them; the log tells, for one may be a setting misspelt."""
    say(KEY="hidden")
    with SessionGuard.open("memory://") as guard, caplog.at_level(logging.WARNING):
        built(guard)
    assert "SESSIONGUARD_KEY" in caplog.text
    assert "hidden" not in caplog.text
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_KEY"):
        built()


def test_external_ids_of_the_environment_hold_beside_a_guard(say: Callable[..., None]) -> None:
    """As the error of the routes says."""
    say(EXTERNAL_IDS="select")
    with SessionGuard.open("memory://") as guard:
        app = install(FastAPI(), guard)
        app.include_router(external_router())
        rules = app.user_middleware[0].args[0].rules  # type: ignore[attr-defined]
        assert isinstance(rules.external.policy, Select)


@pytest.mark.parametrize("word", ["False", "false", "FALSE"])
def test_words_of_python_are_understood(word: str, say: Callable[..., None]) -> None:
    """As the warning of the log and the tables write them; the cookie's own "None" stays text."""
    say(URL="memory://", COOKIE_SECURE=word, SWEEP_INTERVAL="None", CHECK_INTERVAL="None", COOKIE_DOMAIN="None")
    made = SessionGuardMiddleware.from_settings(serve)
    assert made.rules.transport == CookieSettings(secure=False)
    assert made._check_interval is None
    assert settings.read({"SESSIONGUARD_COOKIE_SAMESITE": "None"}) == {"COOKIE_SAMESITE": "None"}
    assert settings.read({"SESSIONGUARD_SCOPE": "None"}) == {"SCOPE": "None"}


def test_transport_of_an_argument_stays() -> None:
    """Settings that do not speak of it leave it; those that do are refused beside it."""
    with SessionGuard.open("memory://") as guard:
        app = install(FastAPI(), guard, config={"SESSIONGUARD_SCOPE": "x"}, transport=HeaderSettings(name="X-Own"))
        rules = app.user_middleware[0].args[0].rules  # type: ignore[attr-defined]
        assert rules.transport == HeaderSettings(name="X-Own")
        with pytest.raises(ConfigurationError, match=r"SESSIONGUARD_COOKIE_SECURE .*`transport`"):
            install(FastAPI(), guard, config={"SESSIONGUARD_COOKIE_SECURE": False}, transport=HeaderSettings())


def test_what_is_no_mapping_is_told() -> None:
    """A URL in the place of the configuration."""
    with pytest.raises(ConfigurationError, match="give a mapping"):
        SessionGuardMiddleware.from_settings(serve, "memory://")  # type: ignore[arg-type]
