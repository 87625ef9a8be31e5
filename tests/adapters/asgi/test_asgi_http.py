"""What an ASGI application with sessionguard sends and accepts over HTTP."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import current_session
from sessionguard.adapters.http import CookieSettings, HeaderSettings
from sessionguard.core.events import CookieRefused, TokenRejected
from sessionguard.errors import SessionGuardError, SessionSealedError, StoreDataError, StoreUnavailableError
from tests.adapters.asgi.asgi_site import AsgiSite
from tests.adapters.asgi.conftest import BuildSite

# What goes over the wire is the same on every store.
pytestmark = pytest.mark.parametrize("build", ["memory", "sqlite, blocking"], indirect=True)


def respond(body: bytes = b"", *, status: int = 200, chunks: int = 1, headers: tuple[Any, ...] = ()) -> Any:
    """Give a function that sends a response whose body is made of `chunks`."""

    async def sender(send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for number in range(chunks):
            await send({"type": "http.response.body", "body": body, "more_body": number < chunks - 1})

    return sender


@pytest.fixture
def opened(site: AsgiSite) -> str:
    """Give the token of an open session that holds `a`."""

    @site.view
    def read(scope: Any) -> str:
        return json.dumps(scope["session"])

    @site.view
    def write(scope: Any) -> str:
        scope["session"]["a"] = 2
        return "done"

    return site.visitor(a=1)


def test_t37_set_cookie_is_exactly_this(build: BuildSite) -> None:
    """The cookie has the attributes of the settings, and nothing else."""
    named = CookieSettings(name="__Secure-x", domain="example.org")
    for transport, prefix, attributes in [
        (None, "__Host-sg=", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (named, "__Secure-x=", "; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax"),
        (CookieSettings(secure=False, samesite="Strict"), "sg=", "; Path=/; HttpOnly; SameSite=Strict"),
    ]:
        site = build(transport=transport)

        @site.view
        def write(scope: Any) -> str:
            scope["session"]["a"] = 1
            return ""

        (cookie,) = site.call("/write").header("set-cookie")
        assert cookie.startswith(prefix)
        assert cookie[cookie.index(";") :] == attributes


def test_t37_set_cookie_comes_only_with_a_new_token(site: AsgiSite, opened: str) -> None:
    """Reading, writing and touching an open session set no cookie, so no late response undoes a newer one."""
    for path in ("/read", "/write", "/write"):
        site.clock.advance(timedelta(minutes=10))
        reply = site.call(path, cookie=opened)
        assert (reply.status, reply.token) == (200, None)
    assert site.data() == {"a": 2}


BAD_HEADERS = [
    "__Host-sg={t}; __Host-sg={t}",
    "__Host-sg=x; __Host-sg={t}",
    "=__Host-sg={t}",
    "\xe2\x80\x80__Host-sg={t}",
    "\x85__Host-sg={t}",
    "\xa0__Host-sg={t}",
    '__Host-sg="{t}"',
    "__Host-sg={t},",
    "__host-sg={t}",
]


def test_t38_ambiguous_cookie_is_nobody(site: AsgiSite, opened: str) -> None:
    """What only some parsers would take for our cookie leads to no session, and is an event."""
    for header in BAD_HEADERS:
        site.events.clear()
        reply = site.call("/read", headers=[("Cookie", header.format(t=opened))])
        assert (reply.text, reply.is_private, reply.token) == ("{}", True, None), header
        if "host" not in header:
            refused = [event for event in site.events if isinstance(event, CookieRefused | TokenRejected)]
            assert len(refused) == 1, header
            assert opened not in repr(refused)


def test_t38_several_cookie_headers_are_read_as_one(site: AsgiSite, opened: str) -> None:
    """HTTP/2 splits cookies over headers: ours is found in any of them, and two of ours are none."""
    ours, other = ("Cookie", f"__Host-sg={opened}"), ("Cookie", "x=1")
    assert site.call("/read", headers=[other, ours]).text == '{"a": 1}'
    assert site.call("/read", headers=[ours, other, ours]).text == "{}"
    assert site.call("/read", headers=[], cookie=None).text == "{}"


def _raise(error: Exception) -> Any:
    raise error


USES: dict[str, Callable[[Any], Any]] = {
    "read": lambda session: str(session.get("a")),
    "in": lambda session: str("a" in session),
    "len": len,
    "bool": bool,
    "iterate": list,
    "equal": lambda session: session == {},
    "union": lambda session: session | {},
    "reversed union": lambda session: {} | session,
    "json": lambda session: json.dumps({"session": session}),
    "json, slowly": lambda session: json.dumps(session, indent=1),
    "copy": dict,
    "reversed": lambda session: list(reversed(session)),
    "current": lambda session: str(current_session()),
    "marked": lambda session: session.mark_accessed(),
    "write": lambda session: session.update(a=2) or "",
    "write same": lambda session: session.update(a=1) or "",
    "delete": lambda session: session.pop("a", None),
}


@pytest.mark.parametrize("has_session", [True, False], ids=["session", "nobody"])
def test_t39_every_use_makes_the_response_private(site: AsgiSite, opened: str, has_session: bool) -> None:
    """However the session is used, and whether there is one or not, no cache may give the response to another."""
    for name, use in USES.items():

        @site.view
        def view(scope: Any) -> str:
            return str(use(scope["session"]))  # noqa: B023

        assert site.call("/view", cookie=opened if has_session else None).is_private, name


ANSWERS = {
    "not found": respond(status=404),
    "redirect": respond(status=303, headers=((b"location", b"/"),)),
    "not modified": respond(status=304),
    "stream": respond(b"x", chunks=3),
    "own headers": respond(headers=((b"Cache-Control", b"public, max-age=60"), (b"X-Accel-Expires", b"60"))),
    "no headers": lambda send: send({"type": "http.response.start", "status": 200}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_t39_t41_every_kind_of_response_is_private(site: AsgiSite, opened: str, name: str) -> None:
    """Whatever kind of response it is and whatever it says itself, it is private where the session was used."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        len(scope["session"])
        await ANSWERS[name](send)

    reply = site.call("/view", cookie=opened)
    assert reply.is_private
    assert reply.header("x-accel-expires") == []


@pytest.mark.parametrize("has_session", [True, False])
def test_t39_late_look_in_a_stream_is_private(site: AsgiSite, opened: str, has_session: bool) -> None:
    """A body that is still being made may look at the session, so the headers are sent as if it did."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(dict(scope["session"])).encode()})

    reply = site.call("/view", cookie=opened if has_session else None)
    assert (reply.text, reply.is_private) == ("{'a': 1}" if has_session else "{}", True)


@pytest.mark.parametrize("headers", [[(b"cache-control", b"Public")], [(b"content-length", b"2")]])
def test_t41_late_look_at_a_response_on_its_way_to_caches_is_refused(
    site: AsgiSite, opened: str, headers: list[Any]
) -> None:
    """A body that was declared public, or complete, and then reads the session is cut off instead of being cached."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with pytest.raises(SessionSealedError):
            scope["session"].get("a")
        with pytest.raises(SessionSealedError):
            current_session()
        await send({"type": "http.response.body", "body": b"ok"})
        assert scope["session"]["a"] == 1

    reply = site.call("/view", cookie=opened)
    assert (reply.text, reply.header("vary")) == ("ok", [])
    assert reply.headers == [(name.decode(), value.decode()) for name, value in headers]


def test_t41_public_stays_where_no_session_was_used(site: AsgiSite, opened: str) -> None:
    """A response that does not depend on the session is cached as its view says."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await respond(headers=((b"cache-control", b"public, max-age=600"), (b"content-length", b"0")))(send)

    assert site.call("/view", cookie=opened).headers == [
        ("cache-control", "public, max-age=600"),
        ("content-length", "0"),
    ]


def test_t44_token_comes_in_one_way_only(build: BuildSite) -> None:
    """With tokens in a header neither the cookie, nor the query, nor two headers lead to a session."""
    site = build(transport=HeaderSettings(name="X-Visitor"))

    @site.view
    def read(scope: Any) -> str:
        return str(dict(scope["session"]))

    token = site.visitor(a=1)
    header = ("X-Visitor", token)
    reply = site.call("/read", headers=[header])
    assert (reply.text, reply.header("vary")) == ("{'a': 1}", ["X-Visitor"])
    for headers in ([header, header], [header, ("X-Visitor", "x")], [("Cookie", f"__Host-sg={token}")]):
        assert site.call("/read", headers=headers).text == "{}"
    assert site.call("/read", query_string=f"X-Visitor={token}".encode()).text == "{}"


def test_t60_outage_is_503_and_opens_nothing(site: AsgiSite, opened: str) -> None:
    """A store that cannot be asked never makes a visitor anonymous, and no answer promises what was not stored."""
    for verb in ("load", "save"):
        site.store.failing = {verb}
        reply = site.call("/write", "POST", cookie=opened)
        assert (reply.status, reply.text, reply.token) == (503, "Service Unavailable", None), verb
        assert int(reply.header("retry-after")[0]) > 0
        assert reply.is_private
    site.store.failing = {"create"}
    reply = site.call("/write", "POST")
    assert (reply.status, reply.token) == (503, None)
    site.store.failing = set()
    assert site.session_count() == 1
    assert site.call("/read", cookie=opened).text == '{"a": 1}'


def test_t60_outage_is_asked_about_once_per_request(site: AsgiSite, opened: str) -> None:
    """A view that catches the error and looks again does not wait for the store again, nor gets another answer."""

    @site.view
    async def view(scope: Any) -> str:
        with pytest.raises(StoreUnavailableError):
            scope["session"].get("a")
        with pytest.raises(StoreUnavailableError):
            await scope["state"]["sessionguard"].session()
        return "still here"

    site.store.failing = {"load"}
    site.store.asked()
    assert site.call("/view", cookie=opened).text == "still here"
    assert site.store.asked() == ["load"]


def test_t60_outage_does_not_touch_a_view_that_does_not_look(site: AsgiSite, opened: str) -> None:
    """A page that needs no session is served while the store is away."""

    @site.view
    def health(scope: Any) -> str:
        return "ok"

    site.store.failing = {"load"}
    assert (site.call("/health", cookie=opened).text, site.call("/health").text) == ("ok", "ok")


def test_streamed_response_that_cannot_be_stored_never_begins(site: AsgiSite, opened: str) -> None:
    """The client gets one whole answer, and nothing of the application's."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 2
        await respond(b"secret", chunks=3)(send)

    site.store.failing = {"save"}
    reply = site.call("/view", cookie=opened)
    assert (reply.status, reply.text, len(reply.messages)) == (503, "Service Unavailable", 2)


def test_fault_of_the_store_at_the_save_is_raised(site: AsgiSite, opened: str) -> None:
    """What no client can mend goes to the server, instead of a response that says nothing."""

    def broken(verb: str) -> None:
        if verb == "save":
            raise StoreDataError("memory", verb, "planted")

    site.store.before = broken
    with pytest.raises(StoreDataError):
        site.call("/write", "POST", cookie=opened)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_value_that_is_no_json_is_the_programs_fault(site: AsgiSite, opened: str, value: Any) -> None:
    """It is raised, as any other exception is, names the field, and nothing is stored."""

    @site.view
    def view(scope: Any) -> str:
        scope["session"]["bad"] = value
        return "done"

    with pytest.raises(TypeError, match=r"session\['bad'\] cannot be stored"):
        site.call("/view", cookie=opened)
    assert site.data() == {"a": 1}


def test_too_much_data_is_413(site: AsgiSite) -> None:
    """What does not fit is refused, and nothing of it is stored."""

    @site.view
    def view(scope: Any) -> str:
        scope["session"]["a"] = "x" * 300_000
        return ""

    assert site.call("/view", "POST").status == 413
    assert site.session_count() == 0


def test_exception_of_the_application_stores_nothing(site: AsgiSite, opened: str) -> None:
    """What a failed request wrote is not kept, and the exception reaches whoever is outside."""

    @site.view
    def view(scope: Any) -> str:
        scope["session"]["a"] = 2
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        site.call("/view", cookie=opened)
    assert site.data() == {"a": 1}


def test_error_after_the_response_began_reaches_the_server(site: AsgiSite, opened: str) -> None:
    """A response is never answered twice."""

    @site.view
    async def view(scope: Any, receive: Any, send: Any) -> None:
        await respond(b"x")(send)
        raise StoreUnavailableError("store", "load", "away")

    with pytest.raises(SessionGuardError):
        site.call("/view", cookie=opened)


def test_token_of_another_scope_is_refused(build: BuildSite) -> None:
    """Two applications on one store do not take each other's visitors for their own."""
    site = build(scope="shop")

    @site.view
    def read(scope: Any) -> str:
        return str(dict(scope["session"]))

    other = site.guard.create("ana", scope="admin", data={"b": "secret"})
    assert site.call("/read", cookie=other.token).text == "{}"
