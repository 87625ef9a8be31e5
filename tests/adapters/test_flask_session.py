"""`flask.session` over a guard: what is read, what is written, what Flask's users expect."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Response, flash, get_flashed_messages, request, session, stream_with_context
from markupsafe import Markup

from sessionguard import current_session
from sessionguard.adapters.flask import GuardedSession
from sessionguard.errors import MisuseError, SessionSealedError
from tests.adapters.conftest import BuildSite
from tests.adapters.site import Site, token_of

VALUES: dict[str, Any] = {
    "text": "Ana",
    "number": 7,
    "fraction": 1.5,
    "flag": True,
    "nothing": None,
    "list": [1, [2, {"a": (3,)}]],
    "tuple": (1, (2, [3])),
    "bytes": b"\x00\xff",
    "markup": Markup("<b>&amp;</b>"),
    "uuid": UUID(int=5),
    "datetime": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "object": {"deep": {"er": UUID(int=6)}},
    "looks tagged": {" t": [1]},
    "looks tagged twice": {" di": {" t__": 1}},
    "empty": {},
}


def raw(value: Any) -> GuardedSession:
    """Give the session object behind the proxy."""
    found = value._get_current_object()
    assert isinstance(found, GuardedSession)
    return found


def test_tagged_values_come_back_as_they_were(site: Site) -> None:
    """Every type that Flask's own session keeps is kept, at any depth."""
    seen: dict[str, Any] = {}

    @site.view
    def write() -> str:
        session.update(VALUES)
        return ""

    @site.view
    def read() -> str:
        seen.update(session)
        return ""

    client = site.client()
    client.get("/write")
    client.get("/read")
    assert seen == VALUES
    assert {name: type(value) for name, value in seen.items()} == {name: type(value) for name, value in VALUES.items()}


def test_values_that_flask_turns_into_text_are_turned_into_text(site: Site) -> None:
    """A decimal and a key that is no text are stored as Flask's JSON writes them."""
    seen: dict[str, Any] = {}

    @site.view
    def write() -> str:
        session["price"] = [Decimal("1.50")]
        session["keys"] = {1: "a"}
        return ""

    @site.view
    def read() -> str:
        seen.update(session)
        return ""

    client = site.client()
    client.get("/write")
    client.get("/read")
    assert seen == {"price": ["1.50"], "keys": {"1": "a"}}


def test_value_without_json_is_an_error_and_stores_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """An object that is no JSON fails the request instead of being left out, and the log names its field."""

    @site.view
    def write() -> str:
        session["good"], session["bad"] = 1, object()
        return ""

    response = site.client().post("/write")
    assert response.status_code == 500
    assert "Set-Cookie" not in response.headers
    assert site.session_count() == 0
    assert "flask.session['bad'] cannot be stored" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda: session["box"]["items"].append(3),
        lambda: session["box"].update(more=True),
        lambda: session["box"]["items"].__setitem__(0, True),
        lambda: session.get("box", {})["items"].clear(),
        lambda: next(iter(session.values()))["items"].append(3),
        lambda: dict(session.items())["box"]["items"].append(3),
        lambda: session.setdefault("box", {})["items"].append(3),
    ],
)
def test_change_in_place_is_noticed(site: Site, change: Callable[[], Any]) -> None:
    """A nested value that was changed is saved without `session.modified = True`."""

    @site.view
    def write() -> str:
        session["box"] = {"items": [1, 2]}
        return ""

    @site.view
    def alter() -> str:
        change()
        return ""

    @site.view
    def read() -> dict[str, Any]:
        return dict(session["box"])

    client = site.client()
    client.get("/write")
    before = client.get("/read").text
    client.get("/alter")
    assert client.get("/read").text != before


def test_read_only_request_asks_one_question_and_writes_nothing(site: Site) -> None:
    """Reading, even nested values, is one load; so is a request that writes what was there already."""

    @site.view
    def write() -> str:
        session.update(VALUES)
        return ""

    @site.view
    def read() -> str:
        assert dict(session) == VALUES
        assert current_session() is current_session()
        assert "text" in session
        return str(len(session))

    @site.view
    def same() -> str:
        session["text"], session["tuple"], session["object"] = VALUES["text"], VALUES["tuple"], VALUES["object"]
        session.modified = True
        return ""

    client = site.client()
    client.get("/write")
    assert site.store.asked() == ["create"]
    client.get("/read")
    assert site.store.asked() == ["load"]
    client.get("/same")
    assert site.store.asked() == ["load"]


def test_request_that_leaves_the_session_alone_asks_no_store(site: Site) -> None:
    """A request with a cookie whose view does not use the session costs nothing."""

    @site.view
    def write() -> str:
        session["a"] = 1
        return ""

    @site.view
    def plain() -> str:
        return ""

    client = site.client()
    client.get("/write")
    site.store.asked()
    response = client.get("/plain")
    assert site.store.asked() == []
    assert "Vary" not in response.headers
    assert "Cache-Control" not in response.headers


def test_due_touch_rides_on_the_load(site: Site) -> None:
    """A read-only request after the touch interval extends the session in the same question."""

    @site.view
    def use() -> str:
        session.setdefault("a", 1)
        return ""

    client = site.client()
    client.get("/use")
    (before,) = site.guard.sessions()
    site.clock.advance(timedelta(minutes=10))
    site.store.asked()
    client.get("/use")
    assert site.store.asked() == ["load"]
    (after,) = site.guard.sessions()
    assert after.expires_at - before.expires_at == timedelta(minutes=10)
    assert after.version == before.version


def test_removing_is_field_by_field(site: Site) -> None:
    """del, pop, popitem and clear remove what they name, and the session goes on."""

    @site.view
    def write() -> str:
        session.update(a=1, b=2, c=3, d=4)
        return ""

    @site.view
    def remove() -> str:
        del session["a"]
        assert session.pop("b") == 2
        assert session.pop("never", 0) == 0
        with pytest.raises(KeyError):
            del session["never"]
        session["c"] = 5
        del session["c"]
        session.pop("c", None)
        return ""

    @site.view
    def clear() -> str:
        session.clear()
        return ""

    @site.view
    def read() -> dict[str, Any]:
        return dict(session)

    client = site.client()
    client.get("/write")
    client.get("/remove")
    assert client.get("/read").json == {"d": 4}
    client.get("/clear")
    assert client.get("/read").json == {}
    assert len(list(site.guard.sessions())) == 1


def test_fields_come_back_in_the_order_of_writing(site: Site) -> None:
    """A session keeps the order of its fields, as a dictionary does."""
    names = [f"field {number}" for number in (7, 3, 9, 1, 8, 2, 6, 4, 5)]

    @site.view
    def write() -> str:
        for name in names:
            session[name] = 1
        return ""

    @site.view
    def read() -> list[str]:
        return list(session)

    site.client().get("/write")
    client = site.client()
    client.get("/write")
    assert client.get("/read").json == names


def test_flash_is_shown_once(site: Site) -> None:
    """A flashed message survives the redirect, is shown, and is gone."""

    @site.view
    def say() -> str:
        flash("saved", "info")
        return ""

    @site.view
    def show() -> list[Any]:
        return get_flashed_messages(with_categories=True)

    client = site.client()
    client.post("/say")
    assert client.get("/show").json == [["info", "saved"]]
    assert client.get("/show").json == []


def test_new_modified_accessed(site: Site) -> None:
    """`new` tells whether there was a session, `modified` whether one wrote, `accessed` whether one looked."""
    seen: list[tuple[bool, bool]] = []

    @site.view
    def write() -> str:
        seen.append((session.new, session.modified))
        session["a"] = 1
        seen.append((session.new, session.modified))
        return ""

    client = site.client()
    client.get("/write")
    client.get("/write")
    assert seen == [(True, False), (True, True), (False, False), (False, True)]
    with client:
        client.get("/write")
        assert session.accessed
    for look in (
        len,
        list,
        dict,
        bool,
        lambda found: "a" in found,
        lambda found: found.get("a"),
        lambda found: found.new,
    ):
        # Without the proxy, which marks any use by itself in recent releases of Flask.
        with client.session_transaction() as found:
            assert not found.accessed
            look(found)
            assert found.accessed


def test_modified_set_to_false_discards(site: Site) -> None:
    """As with Flask's own session, an application can take back what the request wrote."""

    @site.view
    def write() -> str:
        session["a"] = 1
        session.modified = False
        return ""

    client = site.client()
    client.get("/write")
    assert site.session_count() == 0


def test_permanent_session_has_a_cookie_that_stays(site: Site) -> None:
    """`permanent` gives the cookie an expiry; switching it later rotates the token rather than sending it again."""
    site.app.permanent_session_lifetime = timedelta(days=3)

    @site.view
    def write() -> str:
        session["a"] = 1
        return ""

    @site.view
    def keep() -> str:
        session.permanent = True
        return ""

    client = site.client()
    assert "Expires" not in client.get("/write").headers["Set-Cookie"]
    first = token_of(client)
    assert "; Expires=" in client.get("/keep").headers["Set-Cookie"]
    assert token_of(client) not in (None, first)
    assert "Set-Cookie" not in client.get("/keep").headers
    assert "; Expires=" in site.client().get("/keep").headers["Set-Cookie"]


def test_session_transaction_of_the_test_client(site: Site) -> None:
    """Tests of applications can prepare and inspect the session as Flask's documentation shows."""

    @site.view
    def read() -> dict[str, Any]:
        session["seen"] = True
        return {"user": session.get("user")}

    client = site.client()
    with client.session_transaction() as prepared:
        prepared["user"] = "ana"
    assert client.get("/read").json == {"user": "ana"}
    with client.session_transaction() as found:
        assert dict(found) == {"user": "ana", "seen": True}
    with client:
        client.get("/read")
        assert session["user"] == "ana"
    assert current_session() is None


def test_t08_session_is_sealed_after_the_response(site: Site) -> None:
    """A session object that outlives its response refuses every write, from any request or thread."""
    kept: list[GuardedSession] = []

    @site.view
    def keep() -> str:
        session["a"] = [1]
        kept.append(raw(session))
        return ""

    @site.view
    def misuse() -> str:
        with pytest.raises(SessionSealedError):
            kept[0]["b"] = 2
        return ""

    client = site.client()
    client.get("/keep")
    site.client().get("/misuse")
    writes: list[Callable[[], Any]] = [
        lambda: kept[0].update(b=2),
        lambda: kept[0].pop("a"),
        lambda: kept[0].clear(),
        lambda: kept[0].setdefault("b", 2),
        lambda: setattr(kept[0], "permanent", True),
        lambda: setattr(kept[0], "modified", True),
        lambda: kept[0].visit.login("ana"),
        lambda: kept[0].visit.logout(),
    ]
    with ThreadPoolExecutor(1) as pool:
        for write in writes:
            with pytest.raises(SessionSealedError):
                write()
            with pytest.raises(SessionSealedError):
                pool.submit(write).result()
    (stored,) = site.guard.sessions()
    assert stored.data == {"a": [1]}
    assert kept[0]["a"] == [1]


def test_t08_session_is_sealed_when_the_view_fails_and_flask_raises_on(site: Site) -> None:
    """Under TESTING, where Flask raises on, a kept session object refuses writes as well."""
    site.app.testing = True
    kept: list[GuardedSession] = []

    @site.view
    def fail() -> str:
        session["a"] = 1
        kept.append(raw(session))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        site.client().get("/fail")
    with pytest.raises(SessionSealedError):
        kept[0]["b"] = 2
    assert site.session_count() == 0


def test_t08_generator_that_runs_after_the_headers_cannot_write(site: Site) -> None:
    """A streamed body may read the session; writing to it, which nobody would save, raises."""

    @site.view
    def stream() -> Response:
        session["a"] = 1

        def body() -> Any:
            yield str(session["a"])
            with pytest.raises(SessionSealedError):
                session["b"] = 2
            yield "."

        return Response(stream_with_context(body()))

    assert site.client().get("/stream").text == "1."


def test_t09_no_session_is_left_behind_in_a_thread(site: Site) -> None:
    """A pool thread that served a request, or was used by one, sees no session afterwards."""

    @site.view
    def use() -> str:
        session["a"] = 1
        site.extension.login("ana")
        assert current_session() is not None
        assert pool.submit(current_session).result() is None
        return ""

    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as server:
        client = site.client()
        assert server.submit(client.get, "/use").result().status_code == 200
        assert server.submit(current_session).result() is None
        assert pool.submit(current_session).result() is None
    assert current_session() is None


def test_t09_no_session_is_left_behind_by_a_failing_view(site: Site) -> None:
    """After an error, handled or raised on, nothing is current."""

    @site.view
    def fail() -> str:
        session["a"] = 1
        assert current_session() is None
        raise ZeroDivisionError

    assert site.client().get("/fail").status_code == 500
    assert current_session() is None
    site.app.testing = True
    with pytest.raises(ZeroDivisionError):
        site.client().get("/fail")
    assert current_session() is None


def test_t10_work_that_outlives_the_guard_is_told_so(site: Site) -> None:
    """A background thread that goes on after the guard was closed gets an error, and makes no file."""
    failures: list[BaseException] = []
    closed = threading.Event()

    @site.view
    def start() -> str:
        upload = site.extension.new_session("upload")

        def work() -> None:
            closed.wait(10)
            for call in (lambda: site.guard.save(upload, {"a": 1}), lambda: site.guard.workspace(upload).__enter__()):
                try:
                    call()
                except MisuseError as error:
                    failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        threads.append(thread)
        return ""

    threads: list[threading.Thread] = []
    site.client().post("/start")
    site.guard.close()
    closed.set()
    threads[0].join()
    assert len(failures) == 2


@pytest.mark.parametrize("is_new_environ", [False, True])
def test_application_called_with_the_same_environ_keeps_to_its_own_session(
    build: BuildSite, is_new_environ: bool
) -> None:
    """Each of two guarded applications serves, saves and seals its own session, nested or not."""
    outer, inner = build(), build(SESSIONGUARD_COOKIE_NAME="__Host-inner")
    seen: list[Any] = []

    @inner.view
    def nested() -> str:
        session["inner"] = 1
        seen.append(current_session())
        return "from inside"

    @outer.view
    def call() -> Any:
        session["outer"] = 1
        kept, before = raw(session), current_session()
        environ = dict(request.environ) if is_new_environ else request.environ
        environ["PATH_INFO"] = "/nested"
        response = Response.from_app(inner.app.wsgi_app, environ, buffered=True)
        seen.append(current_session() is before)
        assert raw(session) is kept
        session["late"] = 1
        return response

    client = outer.client()
    response = client.post("/call")
    assert response.text == "from inside"
    assert seen == [None, True]
    assert current_session() is None
    (stored,) = outer.guard.sessions()
    assert stored.data == {"outer": 1, "late": 1}
    (stored,) = inner.guard.sessions()
    assert stored.data == {"inner": 1}
    assert [cookie.partition("=")[0] for cookie in response.headers.getlist("Set-Cookie")] == [
        "__Host-inner",
        "__Host-sg",
    ]


def test_outer_session_is_over_after_a_nested_call(build: BuildSite) -> None:
    """What outlives the outer request is told so, though the inner application was torn down within it."""
    outer, inner = build(concurrency="serial"), build(concurrency="serial")
    kept: list[Any] = []
    contexts: list[contextvars.Context] = []

    @inner.view
    def nested() -> str:
        return ""

    @outer.view
    def call() -> Any:
        session["outer"] = 1
        kept.append(raw(session))
        request.environ["PATH_INFO"] = "/nested"
        response = Response.from_app(inner.app.wsgi_app, request.environ, buffered=True)
        contexts.append(contextvars.copy_context())
        return response

    client = outer.client()
    assert client.post("/call").status_code == 200
    with pytest.raises(SessionSealedError):
        kept[0]["more"] = 1
    assert contexts[0].run(current_session) is None
    assert client.post("/call").status_code == 200
