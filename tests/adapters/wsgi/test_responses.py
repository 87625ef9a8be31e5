"""However an application begins its response: what it wrote is stored before, and no header is forgotten."""

import io
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from sessionguard.adapters.wsgi import SESSION, VISIT, SessionGuardMiddleware
from sessionguard.errors import ConfigurationError, MisuseError, SessionSealedError, StoreUnavailableError
from tests.adapters.wsgi.browser import Browser, Plain
from tests.adapters.wsgi.conftest import Wired

TEXT = [("Content-Type", "text/plain")]


def count(environ: dict[str, Any]) -> bytes:
    """Count up in the visitor's session."""
    fields = environ[SESSION]
    fields["n"] = fields.get("n", 0) + 1
    return str(fields["n"]).encode()


def at_once(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Know the body first."""
    body = count(environ)
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def begun_early(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Begin, then use the session."""
    start_response("200 OK", TEXT)
    return [count(environ)]


def late_generator(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Begin when the body is asked for."""
    body = count(environ)
    start_response("200 OK", TEXT)
    yield body


def early_generator(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Make the body after beginning."""
    start_response("200 OK", TEXT)
    yield count(environ)


def empty_first(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Send nothing for a start."""
    body = count(environ)
    start_response("200 OK", TEXT)
    yield b""
    yield body


def by_write(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Send the body through `write`."""
    body = count(environ)
    start_response("200 OK", TEXT)(body)
    return []


def in_file(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Send a file."""
    body = io.BytesIO(count(environ))
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](body)


def second_thought(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Begin, fail, and begin another response."""
    start_response("200 OK", [("Content-Type", "text/html"), ("X-First", "1")])
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        start_response("500 Internal Server Error", TEXT, sys.exc_info())
    return [count(environ)]


@pytest.mark.parametrize(
    "app", [at_once, begun_early, late_generator, early_generator, empty_first, by_write, in_file, second_thought]
)
def test_what_is_written_is_stored_before_the_response_begins(wired: Wired, app: Plain) -> None:
    """The cookie comes with the first response and no other, all are private, and the count goes on."""
    browser = Browser(wired(app))
    first = browser.get()
    assert first.status == (500 if app is second_thought else 200), first.log
    assert first["Set-Cookie"].startswith("__Host-sg=sg1_")
    second = browser.get()
    assert (first.text, second.text) == ("1", "2")
    assert second.all("Set-Cookie") == [] == second.all("X-First")
    for reply in (first, second):
        assert (reply["Vary"], reply["Cache-Control"]) == ("Cookie", "private, no-store")
    (stored,) = wired.guard.sessions()
    assert stored.data == {"n": 2}


def test_application_is_held_to_the_rules_of_wsgi_and_so_are_we(wired: Wired) -> None:
    """The validator of the standard library stands on both sides."""
    assert Browser(wired(validator(at_once))).get().text == "1"
    assert Browser(wired(validator(begun_early))).get(method="HEAD").status == 200


def test_store_is_asked_once_or_not_at_all(wired: Wired) -> None:
    """Reading, through the mapping, the visit and `current_session`, is one question; leaving it alone is none."""

    def read(environ: dict[str, Any], start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        if environ["PATH_INFO"] == "/use":
            assert environ[VISIT].session().data["n"] == environ[SESSION]["n"] == 1
            assert environ[VISIT].session() is environ[VISIT].session()
        return [b""]

    browser = Browser(wired(at_once))
    browser.get()
    reader = Browser(wired(read), browser.cookies)
    wired.store.asked()
    reader.get("/use")
    assert wired.store.asked() == ["load"]
    assert reader.get("/leave").all("Vary") == []
    assert wired.store.asked() == []


def test_body_that_may_look_later_is_private_from_the_start(wired: Wired) -> None:
    """A streamed body may use the session when the headers are gone."""

    def stream(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"count: "
        yield str(environ[SESSION]["n"]).encode()

    browser = Browser(wired(at_once))
    browser.get()
    reply = Browser(wired(stream), browser.cookies).get()
    assert reply.text == "count: 1"
    assert reply["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("header", [("Content-Length", "7"), ("Cache-Control", "public, max-age=60")])
def test_t41_body_on_its_way_to_shared_caches_cannot_look(wired: Wired, header: tuple[str, str]) -> None:
    """A response that is whole, or said to be for everybody, stays so: a late look at the session is refused."""

    def stream(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, header])
        yield b"before"
        with pytest.raises(SessionSealedError):
            environ[SESSION].get("n")
        yield b"."

    reply = Browser(wired(stream)).get()
    assert reply.text == "before."
    assert reply.all("Vary") == []


def test_t08_body_that_goes_on_may_read_and_cannot_write(wired: Wired) -> None:
    """What nobody would store any more is refused."""
    kept: list[Any] = []

    def stream(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        body = count(environ)
        start_response("200 OK", TEXT)
        kept.extend([environ[SESSION], environ[VISIT]])
        yield body
        with pytest.raises(SessionSealedError):
            environ[SESSION]["n"] = 7
        with pytest.raises(SessionSealedError):
            environ[VISIT].login("ana")
        yield str(environ[SESSION]["n"]).encode()

    assert Browser(wired(stream)).get().text == "11"
    for write in (lambda: kept[0].update(n=7), kept[0].clear, kept[1].logout, kept[1].new_session):
        with pytest.raises(SessionSealedError):
            write()


# What goes wrong


class Body:
    """A body that tells whether it was closed."""

    def __init__(self, *pieces: bytes, failure: Exception | None = None) -> None:
        self.pieces, self.failure, self.closed = pieces, failure, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Note it."""
        self.closed += 1


def test_body_is_closed_whatever_happens(wired: Wired) -> None:
    """After its end, its failure, our own answer instead of it, and when the client goes away before it."""
    bodies = [Body(b"a", b"b"), Body(b"a", failure=ZeroDivisionError()), Body(), Body(b"a")]
    given = iter(bodies)

    def app(environ: dict[str, Any], start_response: StartResponse) -> Any:
        count(environ)
        start_response("200 OK", TEXT)
        return next(given)

    browser = Browser(wired(app))
    assert browser.get().text == "ab"
    assert "ZeroDivisionError" in browser.get().log
    wired.store.failing.add("save")
    assert browser.get().status == 503
    wired.store.failing.clear()
    left = wired(app)({"REQUEST_METHOD": "GET", "wsgi.url_scheme": "https"}, lambda *_: lambda _: None)
    left.close()  # type: ignore[attr-defined]
    assert [body.closed for body in bodies] == [1, 1, 1, 1]


def test_failing_application_stores_nothing_and_its_error_reaches_the_server(wired: Wired) -> None:
    """Nothing of a request that broke off is kept, and nobody waits for it."""
    kept: list[Any] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Any:
        count(environ)
        kept.append(environ[SESSION])
        raise ZeroDivisionError

    reply = Browser(wired(app, concurrency="serial")).get()
    assert reply.status == 500
    assert "ZeroDivisionError" in reply.log
    assert list(wired.guard.sessions()) == []
    with pytest.raises(SessionSealedError):
        kept[0]["n"] = 2


def test_error_after_the_headers_reaches_the_server(wired: Wired) -> None:
    """What was sent cannot be taken back: the connection breaks off, as it would without us."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield count(environ)
        try:
            raise StoreUnavailableError("memory", "get", "gone")
        except StoreUnavailableError:
            start_response("500 Oops", TEXT, sys.exc_info())
            yield b"never sent"

    reply = Browser(wired(app)).get()
    assert (reply.status, reply.text) == (200, "1")
    assert "StoreUnavailableError" in reply.log


def raising(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Let our error through."""
    start_response("200 OK", TEXT)
    return [count(environ)]


def raising_later(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
    """Let our error through while the body is made."""
    start_response("200 OK", TEXT)
    yield count(environ)


def reporting(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Catch everything, as frameworks do, and say so to the server."""
    try:
        body = count(environ)
    except Exception:
        start_response("500 Internal Server Error", TEXT, sys.exc_info())
        return [b"sorry"]
    start_response("200 OK", TEXT)
    return [body]


def writing(environ: dict[str, Any], start_response: StartResponse) -> Any:
    """Learn of our error from `write`."""
    start_response("200 OK", TEXT)(count(environ))
    return []


@pytest.mark.parametrize("app", [raising, raising_later, reporting, writing])
@pytest.mark.parametrize("verb", ["load", "save"])
def test_t60_outage_is_503_and_opens_nothing(wired: Wired, app: Plain, verb: str) -> None:
    """However the application meets it, while reading or while storing, the visitor keeps the cookie and may repeat."""
    browser = Browser(wired(app))
    browser.get()
    cookies = dict(browser.cookies)
    wired.store.failing.add(verb)
    reply = browser.get()
    assert (reply.status, reply["Retry-After"], reply["Cache-Control"]) == (503, "5", "private, no-store")
    assert reply.text == "503 Service Unavailable\n"
    assert reply.all("Set-Cookie") == []
    assert browser.get(method="HEAD").text == ""
    wired.store.failing.clear()
    assert (browser.get().text, browser.cookies) == ("2", cookies)
    assert wired.session_count() == 1


def test_page_of_the_application_for_an_error_is_left_alone(wired: Wired) -> None:
    """An application that knows what to say about an outage says it."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Any:
        try:
            body = count(environ)
        except StoreUnavailableError:
            start_response("503 Back soon", TEXT, sys.exc_info())
            return [b"we are mending it"]
        start_response("200 OK", TEXT)
        return [body]

    browser = Browser(wired(app))
    browser.get()
    wired.store.failing.add("load")
    assert browser.get().text == "we are mending it"


def test_fault_of_the_program_is_no_answer(wired: Wired) -> None:
    """A misuse of the library is raised on to the server, as every other fault is."""

    def twice(environ: dict[str, Any], start_response: StartResponse) -> Any:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)

    def none_at_all(environ: dict[str, Any], start_response: StartResponse) -> Any:
        return [b"no headers"]

    reply = Browser(wired(twice)).get()
    assert reply.status == 500
    assert MisuseError.__name__ in reply.log
    assert Browser(wired(none_at_all)).get().status == 500


def test_file_is_left_to_the_server(wired: Wired) -> None:
    """Servers send files in ways of their own, if they get their own wrapper."""
    app: Callable[..., Any] = wired(in_file)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "wsgi.url_scheme": "https",
        "wsgi.file_wrapper": FileWrapper,
    }
    assert isinstance(app(environ, lambda *_: None), FileWrapper)
    assert isinstance(app, SessionGuardMiddleware)


def test_t11_stream_whose_session_ends_is_cut_off(wired: Wired) -> None:
    """The piece that was made after the end is not sent; the connection breaks off, and the body is closed."""
    closed: list[bool] = []

    def stream(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        body = count(environ)
        start_response("200 OK", TEXT)
        try:
            yield body
            (session,) = wired.guard.sessions()
            wired.guard.end(session)
            yield b"secret"
        finally:
            closed.append(True)

    reply = Browser(wired(stream, config={"SESSIONGUARD_CHECK_INTERVAL": 1e-6})).get()
    assert (reply.status, reply.text) == (200, "1")
    assert "SessionEndedError" in reply.log
    assert closed == [True]
    wired.store.asked()
    assert Browser(wired(early_generator)).get().text == "1"
    assert wired.store.asked() == ["create"]


@pytest.mark.parametrize("value", [0, -1, "soon", timedelta(0)])
def test_impossible_interval_is_named(wired: Wired, value: Any) -> None:
    """The setting, its value and the remedy."""
    with pytest.raises(ConfigurationError, match="SESSIONGUARD_CHECK_INTERVAL"):
        wired(count, config={"SESSIONGUARD_CHECK_INTERVAL": value})
