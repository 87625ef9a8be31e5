"""What goes over the wire, in every framework: one text, run under each."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import current_session
from sessionguard.core.events import CookieRefused, TokenRejected
from sessionguard.errors import ConfigurationError
from tests.adapters.every.conftest import Build
from tests.adapters.every.house import COOKIE, METHODS, At, House, Page, Stream, unknown_token
from tests.adapters.every.sending import PlantedError
from tests.adapters.external.stage import HOST, Answer
from tests.adapters.served.visitors import SetCookie

LIMITS = frozenset({"path=/", "secure=", "httponly=", "samesite=lax"})


async def read(at: At) -> Any:
    """Look."""
    return at.fields.get("n")


async def put(at: At) -> None:
    """Write."""
    at.fields["n"] = 1


async def who(at: At) -> str:
    """Tell who the visitor is."""
    session = current_session()
    return "nobody" if session is None else session.owner


async def idle(at: At) -> str:
    """Do without the session."""
    return "idle"


async def logout(at: At) -> None:
    """Log out."""
    await at.visit.logout()


@pytest.fixture
def house(build: Build) -> House:
    """Give an application with these views."""
    return furnished(build())


def furnished(house: House) -> House:
    """Give `house` with these views."""
    for view in (read, put, who, idle, logout):
        house.view(view)
    return house


def is_private(answer: Answer) -> bool:
    """Whether no shared cache may keep it, and a private one only per cookie."""
    vary = [name.strip() for value in answer.all("Vary") for name in value.split(",")]
    return "Cookie" in vary and answer.all("Cache-Control") == ["private, no-store"]


# A. Isolation


def test_t11_stream_breaks_off_when_its_session_ends(build: Build) -> None:
    """What comes before the end is sent; soon after it nothing more is, whatever there would be to say."""
    house = build(SESSIONGUARD_CHECK_INTERVAL=timedelta(milliseconds=10))
    visitor = house.visitor("ana", n=1)
    stopped: list[bool] = []

    def pieces(seen: object) -> Iterator[bytes]:
        yield f"before {seen} ".encode()
        (session,) = house.guard.sessions()
        house.guard.end(session)
        deadline = time.monotonic() + 10
        try:
            while time.monotonic() < deadline:
                time.sleep(0.005)
                yield b"."
            yield b"the end"
        finally:
            stopped.append(True)

    @house.view
    async def stream(at: At) -> Stream:
        return Stream(pieces(at.fields["n"]))

    answer = visitor.get("/stream")
    assert (answer.status, is_private(answer)) == (200, True)
    assert answer.text.startswith("before 1 ")
    assert "the end" not in answer.text


# E. HTTP


def test_t37_set_cookie_is_exactly_this(house: House) -> None:
    """One cookie, for this host alone, which no script reads; set with a new token and never with another response."""
    visitor = house.browser()
    (cookie,) = map(SetCookie.parse, visitor.post("/put").all("Set-Cookie"))
    assert (cookie.name, cookie.attributes, cookie.is_farewell) == (COOKIE, LIMITS, False)
    assert len(cookie.value) >= 32
    for path in ("/read", "/put", "/idle", "/put"):
        house.clock.advance(timedelta(minutes=10))
        assert visitor.post(path).all("Set-Cookie") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"COOKIE_NAME": COOKIE, "COOKIE_DOMAIN": "example.org"},
        {"COOKIE_NAME": COOKIE, "COOKIE_PATH": "/app"},
        {"COOKIE_NAME": COOKIE, "COOKIE_SECURE": False},
        {"COOKIE_SECURE": False, "COOKIE_SAMESITE": "None"},
        {"COOKIE_NAME": "x" * 4090},
    ],
)
def test_t37_impossible_cookie_is_refused_at_the_start(build: Build, wrong: dict[str, Any]) -> None:
    """One that browsers would drop, or give to other hosts, serves nobody."""
    with pytest.raises(ConfigurationError):
        build(**{f"SESSIONGUARD_{name}": value for name, value in wrong.items()}).send("/")


FOUND = ["{c}", "a=1; {c}; b=2", 'broken; =; ;; "x=1; {c}', "\xff=\x01; {c}"]
REFUSED = [
    "{c}; {c}",
    "{c}; __Host-sg=planted",
    "__Host-sg=planted; {c}",
    "={c}",
    "\xe2\x80\x80{c}",
    "\x85{c}",
    "\xa0{c}",
    '__Host-sg="{t}"',
    "__Host-sg={t},",
    "__host-sg={t}",
]


def test_t38_only_one_cookie_of_exactly_our_name_counts(house: House) -> None:
    """Two, look-alikes, quoted ones: nobody's, and an event without the token; malformed ones before ours hide none."""
    token = house.visitor("ana", n=7).cookies[COOKIE]
    for form in FOUND + REFUSED:
        house.events.clear()
        answer = house.send("/read", form.format(c=f"{COOKIE}={token}", t=token))
        assert answer.text == ("7" if form in FOUND else "None"), form
        assert (is_private(answer), answer.all("Set-Cookie")) == (True, []), form
        told = [event for event in house.events if isinstance(event, CookieRefused | TokenRejected)]
        # A name that is not ours in any reading is nothing to tell of.
        assert len(told) == (form in REFUSED and form != "__host-sg={t}"), form
        assert token not in repr(told)
    assert len(house.sessions()) == 1


USES: dict[str, Callable[[Any], Any]] = {
    "read": lambda fields: fields.get("n"),
    "in": lambda fields: "n" in fields,
    "keys": lambda fields: list(fields.keys()),
    "write": lambda fields: fields.__setitem__("n", 2),
    "same": lambda fields: fields.__setitem__("n", 1),
    "delete": lambda fields: fields.pop("n", None),
    "clear": lambda fields: fields.clear(),
    "current": lambda fields: current_session(),
}
ANSWERS = {
    "plain": Page(),
    "missing": Page(status=404),
    "redirect": Page(status=303, headers={"Location": "/"}),
    "unchanged": Page(status=304),
    "refused": Page(status=500),
    "stream": Stream([b"a", b"b"]),
    "public": Page(headers={"Cache-Control": "public, max-age=600", "CDN-Cache-Control": "max-age=60"}),
    "nginx": Page(headers={"X-Accel-Expires": "60", "Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}),
}


@pytest.mark.parametrize("has_session", [True, False], ids=["session", "nobody"])
def test_t39_t41_any_use_keeps_the_response_out_of_caches(house: House, has_session: bool) -> None:
    """However it is used, there or not, and whatever the response is and says of itself."""
    chosen: list[Any] = []

    @house.view
    async def view(at: At) -> Any:
        chosen[0](at.fields)
        return chosen[1]

    @house.view
    async def fail(at: At) -> None:
        at.fields.get("n")
        raise PlantedError

    cookie = f"{COOKIE}={house.visitor('ana', n=1).cookies[COOKIE]}" if has_session else None
    for name, use in USES.items():
        for kind in ANSWERS if name in ("read", "write") else ["plain"]:
            for method in ("GET", "HEAD"):
                chosen[:] = [use, ANSWERS[kind]]
                answer = house.send("/view", cookie, method)
                assert is_private(answer), (name, kind, method)
                assert not answer.all("CDN-Cache-Control") + answer.all("X-Accel-Expires")
    failed = house.send("/fail", cookie)
    # Without a page of the application for it, the server answers, and shows nothing of the session.
    assert failed.status == 500
    assert is_private(failed) == house.app.answers_errors


def test_t39_look_that_extends_the_session_is_a_use(house: House) -> None:
    """What a due touch has made of the response's session is nobody else's."""
    visitor = house.visitor("ana", n=1)
    house.clock.advance(timedelta(minutes=30))
    (before,) = house.sessions()
    assert is_private(visitor.get("/who"))
    assert house.sessions()[0].expires_at > before.expires_at


def test_t41_response_without_a_session_is_left_as_it_is(house: House) -> None:
    """Who does not look at the session may be cached, as the view says, also for a visitor who has one."""

    @house.view
    async def public(at: At) -> Page:
        return Page("all", headers={"Cache-Control": "public, max-age=600", "Content-Length": "3"})

    answer = house.visitor("ana").get("/public")
    assert (answer.text, answer.all("Cache-Control"), answer.all("Vary")) == ("all", ["public, max-age=600"], [])


def test_t42_logout_ends_on_the_server_first(house: House) -> None:
    """While the store is away the browser keeps its cookie. Then it goes as it was set, and caches are cleared."""
    visitor = house.visitor("ana", n=1)
    token = visitor.cookies[COOKIE]
    house.store.failing = {"end"}
    refused = visitor.post("/logout")
    assert (refused.status, refused.all("Set-Cookie"), refused.all("Clear-Site-Data")) == (503, [], [])
    house.store.failing = set()
    assert house.browser(token).get("/who").text == "ana"
    answer = visitor.post("/logout")
    (cookie,) = map(SetCookie.parse, answer.all("Set-Cookie"))
    assert cookie == SetCookie(COOKIE, "", LIMITS, True)
    assert answer.all("Clear-Site-Data") == ['"cache", "storage"']
    assert house.browser(token).get("/who").text == "nobody"


def test_t43_safe_request_changes_nothing(house: House) -> None:
    """Looking creates, rotates and ends nothing, prefetched or not; an application that writes opens by any method."""
    visitor = house.visitor("ana", n=1)
    before = house.sessions()
    cookies = [None, f"{COOKIE}={unknown_token(house.app.token_form)}", f"{COOKIE}={visitor.cookies[COOKIE]}"]
    for cookie in cookies:
        for method in ("GET", "HEAD", "OPTIONS"):
            for path in ("/read", "/who"):
                answer = house.send(path, cookie, method, Purpose="prefetch", Sec_Purpose="prefetch")
                assert (answer.status, answer.all("Set-Cookie")) == (200, [])
    assert set(house.store.asked()) == {"load"}
    assert house.sessions() == before
    for number, method in enumerate(METHODS, start=2):
        assert house.send("/put", None, method).all("Set-Cookie")
        assert len(house.sessions()) == number


def test_t45_headers_that_name_a_user_are_ignored(house: House) -> None:
    """Who the visitor is says the token alone, in every spelling of what a proxy might send."""
    house.visitor("ana")
    names = ("X-Forwarded-User", "X-User-ID", "X_User_ID", "Remote-User", "X-Session-Id", "Authorization")
    named = dict.fromkeys(names, "ana")
    for headers in (named, {name.lower().replace("-", "_"): value for name, value in named.items()}):
        answer = house.app.send("GET", "/who", [("Host", HOST), *headers.items()], b"")
        assert answer.text == "nobody"


def test_t46_token_outside_of_its_cookie_opens_nothing(house: House) -> None:
    """Not in the address, a form, a header, or another cookie; and no answer holds it but the cookie."""
    token = house.visitor("ana", n=7).cookies[COOKIE]
    sent = f"{COOKIE}={token}&token={token}&_sid={token}&session={token}"
    stranger = house.browser()
    answers = [
        stranger.get("/read", sent),
        stranger.post("/read", form={COOKIE: token, "token": token}),
        stranger.get("/read", headers={"Authorization": f"Bearer {token}", "SessionGuard-Token": token}),
        house.send("/read", f"sg={token}; session={token}; sessionid={token}"),
    ]
    for answer in answers:
        assert (answer.text, answer.all("Set-Cookie")) == ("None", [])
        assert token not in repr(answer)


def test_t60_outage_is_503_and_never_a_new_session(house: House) -> None:
    """Whatever fails, nobody is told to be logged out, and the cookie stays; who needs no session is served."""
    visitor = house.visitor("ana", n=0)
    for failing, path in (("load", "/read"), ("load", "/put"), ("save", "/put"), ("load", "/who")):
        house.store.failing = {failing}
        answer = visitor.post(path)
        assert (answer.status, answer.all("Set-Cookie"), is_private(answer)) == (503, [], True), (failing, path)
        assert int(answer.all("Retry-After")[0]) > 0
        assert visitor.get("/idle").text == "idle"
    house.store.failing = {"create"}
    assert house.send("/put", method="POST").status == 503
    house.store.failing = set()
    assert (visitor.get("/read").text, len(house.sessions())) == ("0", 1)
