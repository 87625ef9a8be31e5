"""Where the guard comes from: settings, databases, checks with their remedies, commands."""

import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client, override_settings

from sessionguard import SessionGuard
from sessionguard.adapters.django import guards
from sessionguard.adapters.django.databases import url_of_alias
from sessionguard.adapters.django.engine import SessionStore
from sessionguard.adapters.django.management.commands.sessionguard import Command
from sessionguard.core.events import SessionExpired
from sessionguard.core.session import record_of
from sessionguard.errors import ConfigurationError, SessionLimitError
from sessionguard.testing import in_children
from tests.adapters.django.conftest import BuildProject
from tests.adapters.django.project import ENGINE, Project

SECRET = "pass:word/with@all#of?it"


# The guard


@pytest.fixture
def _closed() -> Any:
    """Begin and end without a guard."""
    guards.close()
    yield
    guards.close()


@pytest.mark.usefixtures("_closed")
def test_the_guard_is_opened_once_and_anew_when_settings_change(tmp_path: Path) -> None:
    """Every caller of the process gets the same; a test that overrides a setting of ours gets another."""
    first = guards.guard()
    assert guards.guard() is first
    with override_settings(SESSIONGUARD_URL=f"sqlite:///{tmp_path}/other.db", SESSIONGUARD_SCOPE="shop"):
        assert guards.guard() is not first
        session = SessionStore()
        session.create()
        assert [found.scope for found in guards.guard().sessions()] == ["shop"]


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize(
    "changed, idle, absolute",
    [
        ({}, timedelta(days=14), timedelta(days=14)),
        ({"SESSION_COOKIE_AGE": 600}, timedelta(minutes=10), timedelta(days=7)),
        ({"SESSION_COOKIE_AGE": 0}, timedelta(hours=2), timedelta(days=7)),
        ({"SESSIONGUARD_IDLE_TIMEOUT": 60}, timedelta(minutes=1), timedelta(days=7)),
    ],
)
def test_sessions_live_as_long_as_the_cookie_unless_told(changed: Any, idle: timedelta, absolute: timedelta) -> None:
    """Without timeouts of ours, the cookie's age is the idle timeout, and a week or that age the absolute one."""
    with override_settings(**changed):
        record = record_of(guards.opened(guards.read()).guard.create())
    assert record.expires_us - record.created_us == idle / timedelta(microseconds=1)
    assert record.absolute_us - record.created_us == absolute / timedelta(microseconds=1)


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize("changed, remaining", [({}, None), ({"SESSIONGUARD_ON_LIMIT": "end_oldest"}, [1, 2])])
def test_limit_of_devices_follows_the_settings(changed: Any, remaining: list[int] | None) -> None:
    """Beyond `SESSIONGUARD_MAX_ACTIVE` one more is refused, or the oldest goes; timeouts stay those of the cookie."""
    with override_settings(SESSIONGUARD_MAX_ACTIVE=2, **changed):
        guard = guards.guard()
        logins = [guard.create("7", data={"n": n}) for n in range(2)]
        assert logins[0].expires_at - logins[0].created_at == timedelta(days=14)
        if remaining is None:
            with pytest.raises(SessionLimitError):
                guard.create("7")
        else:
            guard.create("7", data={"n": 2})
            assert sorted(session.data["n"] for session in guard.sessions(owner="7")) == remaining


@pytest.mark.processes
@pytest.mark.usefixtures("_closed")
def test_forked_workers_go_on_with_the_guard(tmp_path: Path) -> None:
    """Workers forked after the first request find the session that was opened before, and each other's."""
    with override_settings(SESSIONGUARD_URL=f"sqlite:///{tmp_path}/sessions.db"):
        session = SessionStore()
        session["before"] = 1
        session.save()
        key = session.session_key

        def work(number: int) -> Any:
            mine = SessionStore(key)
            mine[f"by-{number}"] = mine["before"]
            mine.save()
            return mine["before"]

        assert in_children(3, work) == [1, 1, 1]
        assert SessionStore(key).load() == {"before": 1, "by-0": 1, "by-1": 1, "by-2": 1}


# DATABASES


@pytest.mark.usefixtures("_closed")
def test_store_names_a_database_of_the_project() -> None:
    """The sessions are then kept in the project's own file."""
    url = url_of_alias("default")
    assert url == f"sqlite:///{settings.DATABASES['default']['NAME']}"
    with override_settings(SESSIONGUARD_STORE="default"):
        del settings.SESSIONGUARD_URL
        assert guards.url_of(guards.read()) == url
        session = SessionStore()
        session["a"] = 1
        session.save()
        assert SessionStore(session.session_key)["a"] == 1


@pytest.mark.parametrize(
    "database, url",
    [
        ({"NAME": "shop"}, "postgresql:///shop"),
        (
            {"NAME": "a shop", "USER": "ada", "PASSWORD": SECRET, "HOST": "db", "PORT": 5433},
            "postgresql://ada:pass%3Aword%2Fwith%40all%23of%3Fit@db:5433/a%20shop",
        ),
        (
            {"NAME": "shop", "USER": "ada", "HOST": "/var/run/postgresql", "PORT": "5432"},
            "postgresql://ada@/shop?host=%2Fvar%2Frun%2Fpostgresql&port=5432",
        ),
        (
            {"NAME": "shop", "HOST": "db", "OPTIONS": {"sslmode": "verify-full", "pool": True, "isolation_level": 3}},
            "postgresql://db/shop?sslmode=verify-full",
        ),
    ],
)
def test_postgres_databases_become_urls(monkeypatch: pytest.MonkeyPatch, database: Any, url: str) -> None:
    """User, password, port, socket and the options of libpq are carried over; Django's own are not."""
    whole = {"ENGINE": "django.db.backends.postgresql", **database}
    monkeypatch.setitem(connections["default"].settings_dict, "ENGINE", whole["ENGINE"])
    monkeypatch.setattr(connections["default"], "settings_dict", whole)
    assert url_of_alias("default") == url
    if "PASSWORD" in database:
        from psycopg.conninfo import conninfo_to_dict

        assert conninfo_to_dict(url)["password"] == SECRET


@pytest.mark.parametrize(
    "database, remedy",
    [
        ({"ENGINE": "django.db.backends.mysql", "NAME": "shop", "PASSWORD": SECRET}, "mysql"),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, "memory://"),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "file:memorydb_default?mode=memory"}, "memory://"),
    ],
)
def test_databases_that_hold_no_sessions_are_refused(
    monkeypatch: pytest.MonkeyPatch, database: Any, remedy: str
) -> None:
    """By the name of the setting, with the remedy, and without a password."""
    monkeypatch.setattr(connections["default"], "settings_dict", database)
    with pytest.raises(ConfigurationError, match=remedy) as refused:
        url_of_alias("default")
    assert refused.value.setting == "SESSIONGUARD_STORE"
    assert SECRET not in str(refused.value)


def test_unknown_databases_are_refused() -> None:
    """The names that there are stand in the message."""
    with pytest.raises(ConfigurationError, match="there are: default"):
        url_of_alias("replica")


# System checks


def ids(**changed: Any) -> list[str]:
    """Give the ids of what the checks find with these settings."""
    with override_settings(**changed):
        return sorted(str(found.id) for found in run_checks() if str(found.id).startswith("sessionguard"))


class OurSessions(SessionMiddleware):
    """A session middleware of the project."""


GOOD: dict[str, Any] = {"DEBUG": True}
SESSIONS, AUTH = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)
OURS = "sessionguard.adapters.django.middleware.SessionGuardMiddleware"
NAMED = {"SESSION_COOKIE_NAME": "__Host-sg"}
CSRF, CACHE = "django.middleware.csrf.CsrfViewMiddleware", "django.middleware.cache.UpdateCacheMiddleware"


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize(
    "changed, expected",
    [
        ({}, []),
        ({"DEBUG": False}, ["sessionguard.W004"]),
        ({"SESSIONGUARD_URL": "nothing://"}, ["sessionguard.E001"]),
        ({"SESSIONGUARD_STORE": "default"}, ["sessionguard.E001"]),
        ({"SESSIONGUARD_IDEL_TIMEOUT": 60}, ["sessionguard.E001"]),
        ({"SESSIONGUARD_POLICY": "short"}, ["sessionguard.E001"]),
        ({"SESSIONGUARD_MAX_ACTIVE": 0}, ["sessionguard.E001"]),
        ({"SESSIONGUARD_ON_LIMIT": "end_oldest"}, ["sessionguard.E001"]),
        ({"SESSION_ENGINE": "django.contrib.sessions.backends.file"}, ["sessionguard.W002"]),
        (
            {"SESSION_SERIALIZER": "tests.adapters.django.test_engine.PickleSerializer"},
            ["sessionguard.E003"],
        ),
        ({"SESSIONGUARD_CONCURRENCY": "serial"}, ["sessionguard.W013"]),
        ({"SESSIONGUARD_CONCURRENCY": "serial", "MIDDLEWARE": [OURS], **NAMED}, []),
        ({"SESSIONGUARD_SCOPE": "shop", "SESSIONGUARD_ORPHAN_AGE": 60, "SESSIONGUARD_WORKSPACES": "files"}, []),
        ({"MIDDLEWARE": [AUTH, SESSIONS]}, ["sessionguard.E005"]),
        ({"MIDDLEWARE": [CSRF, SESSIONS], "CSRF_USE_SESSIONS": True}, ["sessionguard.E005"]),
        ({"MIDDLEWARE": [CSRF, SESSIONS]}, []),
        ({"MIDDLEWARE": [AUTH]}, ["sessionguard.W016"]),
        ({"MIDDLEWARE": ["tests.adapters.django.test_settings.OurSessions", AUTH]}, []),
        ({"MIDDLEWARE": [SESSIONS, CACHE]}, ["sessionguard.E006"]),
        ({"MIDDLEWARE": [CACHE, SESSIONS]}, []),
        ({"SESSION_COOKIE_HTTPONLY": False}, ["sessionguard.W007"]),
        ({"SESSION_COOKIE_SECURE": False}, []),
        ({"SESSION_COOKIE_SECURE": False, "DEBUG": False}, ["sessionguard.W004", "sessionguard.W008"]),
        ({"SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_SAMESITE": "None"}, ["sessionguard.E009"]),
        ({"SESSION_COOKIE_NAME": "__Host-sg", "SESSION_COOKIE_DOMAIN": "example.org"}, ["sessionguard.E010"]),
        ({"SESSION_COOKIE_NAME": "__Host-sg"}, []),
        ({"MIDDLEWARE": [OURS]}, ["sessionguard.I012"]),
        ({"MIDDLEWARE": [OURS], **NAMED}, []),
        ({"MIDDLEWARE": [OURS], "SESSION_COOKIE_NAME": "shop", "SESSIONGUARD_COOKIE_NAME": "shop"}, []),
        ({"MIDDLEWARE": [OURS], "SESSIONGUARD_COOKIE_DOMAIN": "example.org"}, ["sessionguard.E001"]),
        ({"MIDDLEWARE": [OURS], "SESSION_COOKIE_NAME": "sg", "SESSIONGUARD_COOKIE_SECURE": False}, []),
        (
            {
                "MIDDLEWARE": [OURS],
                "SESSION_COOKIE_NAME": "sg",
                "SESSIONGUARD_COOKIE_SECURE": False,
                "SESSION_COOKIE_SECURE": True,
                "DEBUG": False,
            },
            ["sessionguard.W004", "sessionguard.W015"],
        ),
        ({"MIDDLEWARE": [OURS], "DEBUG": False, **NAMED}, ["sessionguard.W004"]),
        ({"MIDDLEWARE": [OURS, SESSIONS], **NAMED}, ["sessionguard.E011"]),
        ({"MIDDLEWARE": [AUTH, OURS], **NAMED}, ["sessionguard.E005"]),
        ({"MIDDLEWARE": [OURS, CACHE], **NAMED}, ["sessionguard.E006"]),
        (
            {"MIDDLEWARE": [OURS], "SESSION_ENGINE": "django.contrib.sessions.backends.file", **NAMED},
            ["sessionguard.W002"],
        ),
    ],
)
def test_checks_find_what_is_wrong(changed: Any, expected: list[str]) -> None:
    """Each mistake has its id, and good settings have none."""
    assert ids(**{**GOOD, **changed}) == expected


@pytest.mark.usefixtures("_closed")
def test_settings_without_effect_are_named() -> None:
    """Each of them, and what to do instead; those of the guard work under the engine as well."""
    vain = {"SESSIONGUARD_COOKIE_SAMESITE": "Strict", "SESSIONGUARD_EXTERNAL_IDS": "strict"}
    with override_settings(SESSIONGUARD_IDLE_TIMEOUT=60, **vain):
        [found] = [found for found in run_checks() if found.id == "sessionguard.W013"]
    assert found.msg.endswith(": " + ", ".join(sorted(vain)))
    assert OURS in str(found.hint)
    assert "SESSION_COOKIE_*" in str(found.hint)


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize("given, named", [({}, "STORE"), ({"STORE": "nothing://x"}, "STORE"), ({"URL": "x"}, "URL")])
def test_the_store_is_told_under_the_name_that_was_given(given: dict[str, str], named: str) -> None:
    """Not under that of the other setting; who gave none learns of the one that takes a name in DATABASES."""
    with pytest.raises(ConfigurationError) as caught:
        guards.opened(given)
    assert caught.value.setting == "SESSIONGUARD_" + named
    assert str(caught.value).startswith(f"SESSIONGUARD_{named} = ")


def test_the_admin_takes_our_middleware_for_one_of_sessions() -> None:
    """A project with the admin passes Django's own checks when Django's session middleware is replaced by ours."""
    with override_settings(MIDDLEWARE=[OURS, AUTH]):
        assert "admin.E410" not in [found.id for found in run_checks()]
    with override_settings(MIDDLEWARE=[AUTH]):
        assert "admin.E410" in [found.id for found in run_checks()]


@pytest.mark.usefixtures("_closed")
def test_t36_checks_show_no_secret() -> None:
    """A wrong URL with a password in it is named by its setting."""
    with override_settings(SESSIONGUARD_URL=f"nothing://ada:{SECRET}@db/shop"):
        [found] = [found for found in run_checks() if found.id == "sessionguard.E001"]
    assert "SESSIONGUARD_URL" in found.msg
    assert "word" not in found.msg
    assert found.hint
    # Once: Django shows both.
    assert str(found.hint) not in found.msg


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize("middleware", [OURS, SESSIONS])
def test_a_wrong_setting_stands_in_the_log_of_the_server(caplog: pytest.LogCaptureFixture, middleware: str) -> None:
    """Once, however many requests are answered with 500: Django's own log is silent while `DEBUG` is off."""
    url = f"nothing://{middleware}"
    with override_settings(SESSIONGUARD_URL=url, MIDDLEWARE=[middleware], DEBUG=False):
        browser = Client(raise_request_exception=False)
        assert [browser.get("/accounts/login/").status_code for _ in range(2)] == [500, 500]
    [told] = [record.getMessage() for record in caplog.records if record.name == "sessionguard.adapters"]
    assert "SESSIONGUARD_URL" in told


# Commands


def test_clearsessions_sweeps(project: Project) -> None:
    """Django's own command ends what has expired."""
    SessionStore().create()
    project.pass_time(timedelta(days=8))
    call_command("clearsessions")
    assert sum(isinstance(event, SessionExpired) for event in project.events) == 1


def test_clearsessions_tells_of_the_brake(build: BuildProject, caplog: pytest.LogCaptureFixture) -> None:
    """A crowd that is due all at once, as after a wrong clock, is left alone and told of."""
    project = build()
    for _ in range(120):
        SessionStore().create()
    project.pass_time(timedelta(days=8))
    call_command("clearsessions")
    assert not any(isinstance(event, SessionExpired) for event in project.events)
    assert "brake" in caplog.text


@pytest.mark.usefixtures("_closed")
def test_the_command_works_on_the_store_of_the_settings(tmp_path: Path) -> None:
    """`manage.py sessionguard list --json` and the others need no URL, and end with their own status."""
    shown = io.StringIO()
    url = f"sqlite:///{tmp_path}/sessions.db"
    with SessionGuard.open(url) as guard:
        session = guard.create("ada")
    with override_settings(SESSIONGUARD_URL=url):
        call_command("sessionguard", "list", "--owner", "ada", "--json", stdout=shown)
        assert json.loads(shown.getvalue())["sessions"][0]["session_id"] == session.id
        call_command("sessionguard", "end", session.id, stdout=shown)
        with pytest.raises(SystemExit, match="1"):
            call_command("sessionguard", "end", session.id, stderr=shown)
        assert shown.getvalue().endswith("sessionguard: it has already ended\n")


@pytest.mark.usefixtures("_closed")
def test_the_command_takes_the_options_of_every_command_of_django(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may stand behind the name of ours, where one writes them for every other command; ours are left alone."""
    # Put back afterwards, for the option sets it.
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site.settings")

    def printed(*arguments: str) -> str:
        Command().run_from_argv(["manage.py", "sessionguard", *arguments])
        return capsys.readouterr().out

    with override_settings(SESSIONGUARD_URL=f"sqlite:///{tmp_path}/sessions.db"):
        assert "applied" in printed("migrate", "--traceback", "--no-color")
        assert json.loads(printed("list", "--settings=site.settings", "-v", "0", "--json"))["sessions"] == []
        with pytest.raises(SystemExit, match="0"):
            printed("list", "--settings", "site.settings", "--help")
    assert "--owner" in capsys.readouterr().out


def test_the_command_goes_on_with_a_guard_that_was_lent(project: Project) -> None:
    """What `guards.use` says holds for commands of that process, too, in memory as well."""
    shown, session = io.StringIO(), project.guard.create("ada")
    call_command("sessionguard", "list", stdout=shown)
    assert session.id in shown.getvalue()


@pytest.mark.parametrize("middleware, is_told", [([OURS], True), ([SESSIONS], False)])
def test_doctor_tells_of_a_risky_cookie(build: BuildProject, middleware: list[str], is_told: bool) -> None:
    """Of ours, where our middleware sets it; Django's is for `manage.py check`."""
    shown = io.StringIO()
    with override_settings(SESSIONGUARD_COOKIE_SECURE=False, SESSION_COOKIE_NAME="sg", MIDDLEWARE=middleware):
        build().guard.create("ada")
        call_command("sessionguard", "doctor", stdout=shown)
    assert ("SESSIONGUARD_COOKIE_SECURE" in shown.getvalue()) is is_told


def test_the_command_says_why_it_cannot() -> None:
    """Sessions in memory belong to another process; a wrong setting is named."""
    shown = io.StringIO()
    with override_settings(SESSIONGUARD_URL="memory://"), pytest.raises(SystemExit, match="2"):
        call_command("sessionguard", "list", stderr=shown)
    assert "sessions in memory are seen by their own process only" in shown.getvalue()
    with override_settings(SESSIONGUARD_URI="memory://"), pytest.raises(CommandError, match="SESSIONGUARD_URL"):
        call_command("sessionguard", "list")


@pytest.mark.processes
def test_the_engine_needs_neither_the_app_nor_a_database(tmp_path: Path) -> None:
    """SESSION_ENGINE and one setting are enough, and logins give the owner all the same."""
    program = f"""
from django.conf import settings
settings.configure(SESSION_ENGINE={ENGINE!r}, SESSIONGUARD_URL="memory://", SECRET_KEY="x")
import django; django.setup()
from types import SimpleNamespace
from sessionguard.adapters.django import guards
from sessionguard.adapters.django.engine import SessionStore
from django.contrib.auth.signals import user_logged_in
session = SessionStore(); session["a"] = 1; session.save()
user = SimpleNamespace(pk=7)
user_logged_in.send(type(user), request=SimpleNamespace(session=session), user=user)
print([found.owner for found in guards.guard().sessions()], SessionStore(session.session_key)["a"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "['7'] 1", done.stderr
