"""Binding the extension: the factory pattern, settings, and what is refused at the start."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, session

from sessionguard import AsyncSessionGuard, SessionGuard, SessionPolicy
from sessionguard.adapters.flask import SessionGuardExtension
from sessionguard.errors import ConfigurationError, MisuseError


def test_factory_pattern_with_settings(tmp_path: Path) -> None:
    """One extension serves several applications, each with the guard that its settings describe."""
    extension = SessionGuardExtension()

    def create_app(name: str) -> Flask:
        app = Flask(name)
        app.config.update(
            SESSIONGUARD_URL=f"sqlite:///{tmp_path}/{name}.db",
            SESSIONGUARD_WORKSPACES=str(tmp_path / name),
            SESSIONGUARD_IDLE_TIMEOUT=600,
            SESSIONGUARD_ABSOLUTE_TIMEOUT=timedelta(hours=1),
            SESSIONGUARD_CONCURRENCY="strict",
            SESSIONGUARD_SCOPE=name,
        )
        extension.init_app(app)

        @app.post("/write")
        def write() -> str:
            session["app"] = name
            with extension.workspace() as workspace:
                workspace.write("a.txt", b"1")
            return ""

        return app

    for app in [create_app("one"), create_app("two")]:
        app.test_client().post("/write")
        with app.app_context():
            guard = extension.guard
        (stored,) = guard.sessions()
        assert (stored.scope, stored.data["app"]) == (app.name, app.name)
        assert stored.expires_at - stored.last_seen_at <= timedelta(minutes=10)
        guard.close()


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `app.config.from_prefixed_env()` makes of environment variables is understood."""
    monkeypatch.setenv("FLASK_SESSIONGUARD_URL", "memory://")
    monkeypatch.setenv("FLASK_SESSIONGUARD_COOKIE_SECURE", "false")
    monkeypatch.setenv("FLASK_SESSIONGUARD_COOKIE_MAX_AGE", "3600")
    monkeypatch.setenv("FLASK_SESSIONGUARD_LOCK_TIMEOUT", "2.5")
    app = Flask("app")
    app.config.from_prefixed_env()
    SessionGuardExtension(app)
    assert app.session_interface.get_cookie_name(app) == "sg"
    assert app.session_interface.get_cookie_secure(app) is False
    app.add_url_rule("/", view_func=lambda: session.setdefault("a", "1"))
    assert "; Max-Age=3600; " in app.test_client().get("/").headers["Set-Cookie"]


def _text_guard() -> Any:
    return "sqlite:///x.db"


def _async_guard() -> Any:
    return AsyncSessionGuard.open("memory://")


@pytest.mark.parametrize(
    "make, setting",
    [
        (lambda app: SessionGuardExtension(app), "SESSIONGUARD_URL"),
        (lambda app: SessionGuardExtension(app, _async_guard()), "guard"),
        (lambda app: SessionGuardExtension(guard=_async_guard()), "guard"),
        (lambda app: SessionGuardExtension(app, _text_guard()), "guard"),
        (lambda app: _with(app, concurrency="optimistic"), "SESSIONGUARD_CONCURRENCY"),
        (lambda app: _with(app, SESSIONGUARD_CONCURRENCY="Serial"), "SESSIONGUARD_CONCURRENCY"),
        (lambda app: _with(app, SESSIONGUARD_COOKIE_SECURE="yes"), "SESSIONGUARD_COOKIE_SECURE"),
        (lambda app: _with(app, SESSIONGUARD_COOKIE_DOMAIN="example.org"), "SESSIONGUARD_COOKIE_DOMAIN"),
        (lambda app: _with(app, SESSIONGUARD_COOKIE_HTTPONLY=False), "SESSIONGUARD_COOKIE_HTTPONLY"),
        (lambda app: _with(app, SESSIONGUARD_IDLE_TIMEOT=60), "SESSIONGUARD_IDLE_TIMEOT"),
        (lambda app: _with(app, SESSIONGUARD_IDLE_TIMEOUT="60"), "SESSIONGUARD_IDLE_TIMEOUT"),
        (lambda app: _with(app, SESSIONGUARD_LOCK_TIMEOUT=0), "SESSIONGUARD_LOCK_TIMEOUT"),
        (
            lambda app: _with(app, SESSIONGUARD_POLICY=SessionPolicy(), SESSIONGUARD_IDLE_TIMEOUT=60),
            "SESSIONGUARD_POLICY",
        ),
        (lambda app: _with(app, SESSIONGUARD_SCOPE=""), "SESSIONGUARD_SCOPE"),
    ],
)
def test_wrong_setting_is_named(make: Callable[[Flask], object], setting: str) -> None:
    """A setting that cannot be is refused when the application is built, by its name."""
    with pytest.raises(ConfigurationError) as caught:
        make(Flask("app"))
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    "config",
    [
        {"SESSIONGUARD_KEY": "hidden"},
        {"SESSIONGUARD_URL": b"postgresql://user:hidden@host/db"},
        {"SESSIONGUARD_URL": "carrierpigeon://user:hidden@loft"},
        {"SESSIONGUARD_KEYS": "hidden"},
    ],
    ids=repr,
)
def test_t36_wrong_setting_keeps_its_secret(config: dict[str, Any]) -> None:
    """A misspelt name of a key is named, the key is not; and passwords stay out of the message."""
    with pytest.raises(ConfigurationError) as caught:
        _with(Flask("app"), **config)
    assert "hidden" not in str(caught.value) + repr(vars(caught.value))


SETTING = "SESSIONGUARD_"


@pytest.mark.parametrize(
    "config, says",
    [
        ({"WORKSPACES": 5}, "WORKSPACES = 5: give the path"),
        ({"WORKSPACES": "s3:/files"}, "WORKSPACES = 's3:/files': this looks like a mistyped URL"),
        ({"WORKSPACES": "s3://Files"}, "WORKSPACES, bucket = 'Files': a bucket is"),
        (
            {"WORKSPACE": "s3://k:hidden@files"},
            "WORKSPACE = 's3://***@files': there is no such setting; is SESSIONGUARD_W",
        ),
        ({"POLICY": {"upload": 5}}, "POLICY['upload'] = 5: give a SessionPolicy"),
        ({"KEYS": 5}, "KEYS = 'int': give a KeyRing"),
        ({"URL": "sqlite:/x"}, "URL = 'sqlite:/x': write it as"),
        ({"IDLE_TIMEOUT": -1}, "IDLE_TIMEOUT = -1: give a duration above zero"),
        ({"IDLE_TIMEOUT": float("inf")}, "IDLE_TIMEOUT = inf: give a datetime.timedelta"),
        ({"IDLE_TIMEOUT": 10, "ABSOLUTE_TIMEOUT": 5}, "IDLE_TIMEOUT = 10: it must not exceed SESSIONGUARD_ABSOLUTE"),
        (
            {"IDLE_TIMEOUT": timedelta(days=30)},
            "IDLE_TIMEOUT = datetime.timedelta(days=30): it must not exceed SESSIONGUARD_ABSOLUTE_TIMEOUT, by "
            "default 7 days, 0:00:00; give that as well",
        ),
        ({"STORE": "sqlite:///x"}, "STORE = 'sqlite:///x': there is no such setting; is SESSIONGUARD_URL meant?"),
        (
            {"COOKIE_SAMESITE": "None", "COOKIE_SECURE": False},
            "COOKIE_SAMESITE = 'None': browsers demand SESSIONGUARD_",
        ),
        ({"URL": "redis:"}, "URL = '***': write it as sqlite:///path.db, redis://host"),
        (
            {"ABSOLUTE_TIMEOUT": 5},
            "ABSOLUTE_TIMEOUT = 5: it must not be below SESSIONGUARD_IDLE_TIMEOUT, by default 2:00:",
        ),
        ({"MAX_ACTIVE": 0}, "MAX_ACTIVE = 0: give a whole number above zero"),
        ({"MAX_ACTIVE": "2"}, "MAX_ACTIVE = '2': give a whole number above zero"),
        ({"MAX_ACTIVE": 2, "ON_LIMIT": "end"}, "ON_LIMIT = 'end': give one of 'refuse', 'end_oldest'"),
        ({"ON_LIMIT": "end_oldest"}, "ON_LIMIT = 'end_oldest': without SESSIONGUARD_MAX_ACTIVE there is no limit"),
        ({"POLICY": SessionPolicy(), "MAX_ACTIVE": 2}, "POLICY = SessionPolicy("),
    ],
    ids=repr,
)
def test_wrong_value_is_shown_under_the_name_that_was_given(config: dict[str, Any], says: str) -> None:
    """Not under that of an argument which whoever writes the settings has never seen."""
    with pytest.raises(ConfigurationError) as caught:
        _with(Flask("app"), **{SETTING + name: value for name, value in config.items()})
    assert str(caught.value).startswith(SETTING + says)


@pytest.mark.parametrize(
    "on_limit, statuses, remaining",
    [({}, [200, 200, 409], ["ana", "ana"]), ({"ON_LIMIT": "end_oldest"}, [200, 200, 200], ["nobody", "ana", "ana"])],
)
def test_limit_of_devices_follows_the_settings(on_limit: Any, statuses: list[int], remaining: list[str]) -> None:
    """A login beyond `SESSIONGUARD_MAX_ACTIVE` is refused, or takes the place that `SESSIONGUARD_ON_LIMIT` says."""
    app = Flask("app")
    extension = _with(app, **{SETTING + name: value for name, value in {"MAX_ACTIVE": 2, **on_limit}.items()})
    app.add_url_rule("/login", "login", lambda: extension.login("ana").owner, methods=["POST"])
    app.add_url_rule("/", "who", lambda: getattr(extension.visit.session(), "owner", "nobody"))
    clients = [app.test_client() for _ in range(3)]
    assert [client.post("/login", base_url="https://localhost").status_code for client in clients] == statuses
    owners = [client.get("/", base_url="https://localhost").text for client in clients]
    assert owners[: len(remaining)] == remaining


def test_settings_there_are_are_named_whole() -> None:
    """With their prefix, to be copied."""
    with pytest.raises(
        ConfigurationError, match="there are: SESSIONGUARD_ABSOLUTE_TIMEOUT, SESSIONGUARD_CHECK_INTERVAL"
    ):
        _with(Flask("app"), SESSIONGUARD_NOTHING=1)


def test_clean_up_follows_the_settings() -> None:
    """How often, how much at once, and which files are spared; None turns the first two off."""
    guard = _with(
        app := Flask("app"), SESSIONGUARD_SWEEP_INTERVAL=5, SESSIONGUARD_SWEEP_BRAKE=0.5, SESSIONGUARD_ORPHAN_AGE=60
    )
    with app.app_context():
        parts = guard.guard._parts
    assert parts.sweep_seconds == 5
    assert parts.setting.orphan_age == timedelta(minutes=1)
    off = _with(app := Flask("off"), SESSIONGUARD_SWEEP_INTERVAL=None, SESSIONGUARD_SWEEP_BRAKE=None)
    with app.app_context():
        assert off.guard._parts.sweep_seconds is None


@pytest.mark.parametrize("key, value", [("SWEEP_BRAKE", 7), ("SWEEP_INTERVAL", -1), ("ORPHAN_AGE", "long")])
def test_impossible_clean_up_is_named(key: str, value: Any) -> None:
    """The message names the setting as it was given."""
    with pytest.raises(ConfigurationError, match=f"SESSIONGUARD_{key}"):
        _with(Flask("app"), **{f"SESSIONGUARD_{key}": value})


def test_files_may_be_in_object_storage() -> None:
    """A URL is passed on as it is; as a path it would name a folder on this machine."""
    app = Flask("app")
    extension = _with(app, SESSIONGUARD_WORKSPACES="s3://files/app?endpoint=http://127.0.0.1:9")
    with app.app_context():
        assert repr(extension.guard._parts.files) == "<S3Workspaces in s3://files/app>"


def _with(app: Flask, concurrency: Any = "merge", **config: Any) -> SessionGuardExtension:
    app.config.update({"SESSIONGUARD_URL": "memory://", **config})
    return SessionGuardExtension(app, concurrency=concurrency)


def test_second_init_app_is_refused() -> None:
    """Two extensions on one application would each keep a part of the session."""
    app = Flask("app")
    guard = SessionGuard.open("memory://")
    SessionGuardExtension(app, guard)
    with pytest.raises(MisuseError, match="once"):
        SessionGuardExtension(app, guard)


def test_calls_outside_a_request_say_what_to_do() -> None:
    """A background job that asks for the visitor is told to use the guard."""
    extension = SessionGuardExtension(Flask("app"), SessionGuard.open("memory://"))
    for call in (extension.logout, extension.new_session, lambda: extension.login("ana")):
        with pytest.raises(MisuseError, match="no request"):
            call()


def test_another_session_interface_is_noticed() -> None:
    """If the application replaces the session interface, calls fail instead of acting on a session nobody keeps."""
    app = Flask("app")
    interface = app.session_interface
    extension = SessionGuardExtension(app, SessionGuard.open("memory://"))
    app.session_interface = interface
    with app.test_request_context(), pytest.raises(MisuseError, match="session_interface"):
        extension.logout()


def test_another_session_interface_serves_its_own_views(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A view that asks nothing of the extension runs with whatever interface there is since; log and doctor tell."""
    app = Flask("app")
    app.secret_key = "k"
    theirs = app.session_interface
    guard = SessionGuard.open(f"sqlite:///{tmp_path}/sessions.db", sweep_interval=None)
    guard.create("ana")
    SessionGuardExtension(app, guard)
    app.session_interface = theirs
    app.add_url_rule("/", view_func=lambda: str(session.get("a")))
    assert [app.test_client().get("/").text for _ in range(2)] == ["None", "None"]
    (told,) = [record.getMessage() for record in caplog.records if record.name == "sessionguard.adapters"]
    assert "app.session_interface is flask.sessions.SecureCookieSessionInterface" in told
    assert "take out what sets it" in told
    examined = app.test_cli_runner().invoke(args=["sessionguard", "doctor"])
    assert "flask.sessions.SecureCookieSessionInterface" in examined.output
    assert examined.exit_code != 0
    guard.close()


def test_other_extensions_learn_the_cookie_from_the_interface() -> None:
    """The interface answers for the cookie that is really sent."""
    app = Flask("app")
    app.config.update(SESSION_COOKIE_NAME="flask", SESSIONGUARD_COOKIE_NAME="__Secure-x", SESSIONGUARD_COOKIE_PATH="/a")
    SessionGuardExtension(app, SessionGuard.open("memory://"))
    interface = app.session_interface
    assert interface.get_cookie_name(app) == "__Secure-x"
    assert interface.get_cookie_path(app) == "/a"
    assert interface.get_cookie_domain(app) is None
    assert interface.get_cookie_samesite(app) == "Lax"
    assert interface.get_cookie_secure(app)
    assert interface.get_cookie_httponly(app)
    assert not interface.get_cookie_partitioned(app)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda guard: SessionGuardExtension(guard), "SessionGuardExtension(app, guard)"),
        (lambda guard: SessionGuardExtension().init_app(guard), "SessionGuardExtension(app, guard)"),
        (lambda _: SessionGuardExtension(Flask("app"), "memory://"), "SessionGuard.open(url)"),  # type: ignore[arg-type]
    ],
)
def test_misplaced_argument_is_told_where_it_goes(make: Callable[[Any], object], says: str) -> None:
    """A guard in the place of the application, or a URL in that of the guard, is answered with the right call."""
    with SessionGuard.open("memory://") as guard, pytest.raises(ConfigurationError) as caught:
        make(guard)
    assert says in str(caught.value)


def test_missing_workspaces_name_the_setting() -> None:
    """An application without workspaces is told which setting gives them."""
    app = Flask("app")
    app.config["SESSIONGUARD_URL"] = "memory://"
    extension = SessionGuardExtension(app)
    with app.test_request_context(), pytest.raises(ConfigurationError, match="SESSIONGUARD_WORKSPACES"):
        extension.workspace().__enter__()
