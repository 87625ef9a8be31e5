"""The HTTP layer: the cookie as sent and as read, the headers, the statuses."""

from datetime import UTC, datetime, timedelta

import pytest

from sessionguard import errors
from sessionguard.adapters.http import CookieSettings, answer_to, is_plain, is_public, private_headers, read_token
from sessionguard.errors import ConfigurationError, SessionGuardError

NAME = b"__Host-sg"
OURS = "sg1_0_ab" + "t" * 43

GOLDEN = [
    (CookieSettings(), f"__Host-sg={OURS}; Path=/; Secure; HttpOnly; SameSite=Lax"),
    (CookieSettings(secure=False), f"sg={OURS}; Path=/; HttpOnly; SameSite=Lax"),
    (CookieSettings(samesite="Strict"), f"__Host-sg={OURS}; Path=/; Secure; HttpOnly; SameSite=Strict"),
    (CookieSettings(samesite="None"), f"__Host-sg={OURS}; Path=/; Secure; HttpOnly; SameSite=None"),
    (
        CookieSettings(name="__Secure-sg", domain="example.org", path="/app"),
        f"__Secure-sg={OURS}; Path=/app; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
    ),
    (
        CookieSettings(samesite="None", partitioned=True),
        f"__Host-sg={OURS}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
]


@pytest.mark.parametrize("settings, expected", GOLDEN)
def test_t37_set_cookie_is_exactly_this(settings: CookieSettings, expected: str) -> None:
    """Every combination of settings gives one known Set-Cookie value."""
    assert settings.carrying(OURS) == expected


@pytest.mark.parametrize("settings", [settings for settings, _ in GOLDEN])
def test_t42_deletion_has_the_attributes_the_cookie_was_set_with(settings: CookieSettings) -> None:
    """A browser removes the cookie only if name, path, domain and flags are the same."""
    kept = settings.carrying(OURS).split("; ")
    deleted = settings.deleting().split("; ")
    assert deleted[0] == kept[0].removesuffix(OURS)
    assert deleted[1:3] == ["Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Max-Age=0"]
    assert deleted[3:] == kept[1:]


def test_t37_permanent_cookie_says_until_when() -> None:
    """An expiry is sent as HTTP writes dates."""
    cookie = CookieSettings(secure=False).carrying(OURS, expires=datetime(2030, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert cookie == f"sg={OURS}; Expires=Sun, 03 Feb 2030 04:05:06 GMT; Path=/; HttpOnly; SameSite=Lax"


def test_t37_cookie_says_how_long_it_is_kept() -> None:
    """A lifetime that is set is sent in seconds; a permanent session's own goes before it."""
    settings = CookieSettings(secure=False, max_age=timedelta(days=14))
    assert settings.carrying(OURS) == f"sg={OURS}; Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax"
    assert "Max-Age" not in settings.carrying(OURS, expires=datetime(2030, 2, 3, tzinfo=UTC))
    assert settings.deleting() == CookieSettings(secure=False).deleting()


@pytest.mark.parametrize(
    "options, setting",
    [
        ({"domain": "example.org"}, "DOMAIN"),
        ({"path": "/app"}, "PATH"),
        ({"name": "__Host-x", "secure": False}, "SECURE"),
        ({"name": "__HOST-x", "domain": "example.org"}, "DOMAIN"),
        ({"name": "__host-x", "path": "/app"}, "PATH"),
        ({"name": "__Secure-x", "secure": False}, "SECURE"),
        ({"samesite": "None", "secure": False}, "SAMESITE"),
        ({"partitioned": True, "secure": False}, "PARTITIONED"),
        ({"partitioned": "no"}, "PARTITIONED"),
        ({"max_age": timedelta(0)}, "MAX_AGE"),
        ({"max_age": 3600}, "MAX_AGE"),
        ({"samesite": "lax"}, "SAMESITE"),
        ({"samesite": None}, "SAMESITE"),
        ({"secure": "no"}, "SECURE"),
        ({"secure": 1}, "SECURE"),
        ({"name": ""}, "NAME"),
        ({"name": "a b"}, "NAME"),
        ({"name": "a;b"}, "NAME"),
        ({"name": "a=b"}, "NAME"),
        ({"name": "s\u00e9"}, "NAME"),
        ({"name": "sg\n"}, "NAME"),
        ({"name": "x" * 4096}, "NAME"),
        ({"name": "sg", "path": "app"}, "PATH"),
        ({"name": "sg", "path": "/a;Domain=evil.example"}, "PATH"),
        ({"name": "sg", "path": "/a\r\nX: y"}, "PATH"),
        ({"name": "sg", "domain": ".example.org"}, "DOMAIN"),
        ({"name": "sg", "domain": "example.org; Secure"}, "DOMAIN"),
        ({"name": "sg", "domain": "example.org\n"}, "DOMAIN"),
        ({"name": "sg", "domain": ""}, "DOMAIN"),
    ],
)
def test_t37_impossible_cookie_is_refused_by_setting(options: dict[str, object], setting: str) -> None:
    """What browsers would drop or misread is refused at the start, and the message names the setting."""
    with pytest.raises(ConfigurationError) as caught:
        CookieSettings(**options)  # type: ignore[arg-type]
    assert caught.value.setting == f"SESSIONGUARD_COOKIE_{setting}"


def test_t37_cookie_over_4096_bytes_is_refused() -> None:
    """Name and value together stay within what browsers keep; one byte more is an error, not a lost cookie."""
    settings = CookieSettings()
    room = 4096 - len(settings.name)
    assert settings.carrying("x" * room)
    with pytest.raises(ConfigurationError):
        settings.carrying("x" * (room + 1))


FOUND = [
    b"__Host-sg=%s",
    b"a=b; __Host-sg=%s; c=d",
    b"a=b;__Host-sg=%s;c=d",
    b"\t__Host-sg=%s \t; c=d",
    b'broken; =; ;; "quoted=1; __Host-sg=%s',
    b'a="1; b=2"; __Host-sg=%s',
    b"\xff\xfe=\x00; __Host-sg=%s",
    b"__Host-sg2=other; x__Host-sg=other; __host-sg=other; __Host-sg=%s",
]


@pytest.mark.parametrize("header", FOUND)
def test_t38_our_cookie_is_found_among_others(header: bytes) -> None:
    """Ours is found whatever stands before and after it."""
    presented = read_token([header.replace(b"%s", OURS.encode())], NAME)
    assert (presented.token, presented.problem) == (OURS, None)


LOOKALIKES = [
    b"=__Host-sg=%s",
    b" =__Host-sg=%s",
    b"\xe2\x80\x80__Host-sg=%s",
    b"\x85__Host-sg=%s",
    b"\xa0__Host-sg=%s",
    b"__Host-sg\xa0=%s",
    b"__Host-sg =%s",
    b"\x0b__Host-sg=%s",
    b"\xc2\xa0__Host-sg=%s",
    b"__Host-sg",
]


@pytest.mark.parametrize("header", LOOKALIKES)
def test_t38_lookalike_is_not_ours_and_is_reported(header: bytes) -> None:
    """A name that only a lenient parser takes for ours carries no token."""
    presented = read_token([header.replace(b"%s", OURS.encode())], NAME)
    assert (presented.token, presented.problem) == (None, "lookalike cookie")


@pytest.mark.parametrize("header", LOOKALIKES)
@pytest.mark.parametrize("order", [1, -1])
def test_t38_lookalike_does_not_hide_ours(header: bytes, order: int) -> None:
    """Beside a lookalike, before or after it, ours is still the one that counts."""
    pairs = [header.replace(b"%s", b"evil"), b"__Host-sg=" + OURS.encode()][::order]
    presented = read_token([b"; ".join(pairs)], NAME)
    assert (presented.token, presented.problem) == (OURS, "lookalike cookie")


@pytest.mark.parametrize(
    "headers",
    [
        [b"__Host-sg=A; __Host-sg=B"],
        [b"__Host-sg=A", b"__Host-sg=B"],
        [b"__Host-sg=A; __Host-sg=A"],
        [b"__Host-sg=; __Host-sg=B"],
        [b"__Host-sg=A; x=y; __Host-sg="],
    ],
)
def test_t38_two_values_of_our_name_are_none(headers: list[bytes]) -> None:
    """Where one of two cookies was planted, neither is taken."""
    presented = read_token(headers, NAME)
    assert (presented.token, presented.problem) == (None, "several cookies")


def test_t38_quoted_value_is_not_unquoted() -> None:
    """A quoted value is no token: the quotes stay, and no form of token has any."""
    assert read_token([b'__Host-sg="%s"' % OURS.encode()], NAME).token == f'"{OURS}"'


def test_t36_presented_token_is_not_in_the_repr() -> None:
    """What shows up in a traceback or a log does not hold the token."""
    assert OURS not in repr(read_token([b"__Host-sg=" + OURS.encode()], NAME))


@pytest.mark.parametrize(
    "given, expected",
    [
        ([], [("Vary", "Cookie"), ("Cache-Control", "private, no-store")]),
        ([("Vary", "Accept")], [("Vary", "Accept, Cookie"), ("Cache-Control", "private, no-store")]),
        (
            [("Vary", "Accept-Encoding, cookie"), ("vary", "Origin")],
            [("Vary", "Accept-Encoding, Origin, Cookie"), ("Cache-Control", "private, no-store")],
        ),
        ([("Vary", "*")], [("Vary", "*, Cookie"), ("Cache-Control", "private, no-store")]),
        (
            [("Cache-Control", "public, max-age=600, s-maxage=600")],
            [("Vary", "Cookie"), ("Cache-Control", "private, no-store")],
        ),
        (
            [("cache-control", "public, No-Transform")],
            [("Vary", "Cookie"), ("Cache-Control", "private, no-store, no-transform")],
        ),
        (
            [
                ("Expires", "Sun, 03 Feb 2030 04:05:06 GMT"),
                ("Surrogate-Control", "max-age=600"),
                ("CDN-Cache-Control", "max-age=600"),
                ("Cloudflare-CDN-Cache-Control", "max-age=600"),
                ("X-Accel-Expires", "600"),
                ("ETag", '"1"'),
                ("Set-Cookie", "a=b"),
                ("Set-Cookie", "c=d"),
            ],
            [
                ("ETag", '"1"'),
                ("Set-Cookie", "a=b"),
                ("Set-Cookie", "c=d"),
                ("Vary", "Cookie"),
                ("Cache-Control", "private, no-store"),
            ],
        ),
    ],
)
def test_t41_shared_caches_are_told_off(given: list[tuple[str, str]], expected: list[tuple[str, str]]) -> None:
    """Whatever a view said about caching, the response is private and not stored; the rest stays."""
    assert private_headers(given) == expected


@pytest.mark.parametrize(
    "error, status, retry_after",
    [
        (errors.StoreUnavailableError("sqlite", "load", "gone"), 503, 5),
        (errors.StoreTimeoutError("sqlite", "load", "busy"), 503, 1),
        (errors.LockTimeoutError("s", "request", 1.0), 503, 1),
        (errors.LockLostError("s", "request", 1), 503, 1),
        (errors.SessionEndedError("s", "revoked"), 409, None),
        (errors.SessionConflictError("s", 1, 2), 409, None),
        (errors.SessionLimitError("s", 3), 409, None),
        (errors.SessionMismatchError("s", None), 409, None),
        (errors.LeaseLostError("s", "gone"), 409, None),
        (errors.SessionTooLargeError("s", 1, 2), 413, None),
        (errors.QuotaExceededError("s", 1, 2, "bytes"), 413, None),
        (errors.PathEscapeError("s", "..", "leads out"), 400, None),
        (errors.InvalidArgumentError("owner", "", "give text"), 400, None),
        (errors.StoreDataError("sqlite", "load", "garbled"), 500, None),
        (errors.IdentityMismatchError("sqlite", "load", "owner"), 500, None),
        (errors.MisuseError("wrong"), 500, None),
        (errors.SessionSealedError(), 500, None),
        (ConfigurationError("a", "b", "c"), 500, None),
        (SessionGuardError("?"), 500, None),
    ],
)
def test_t60_every_error_has_one_status(error: SessionGuardError, status: int, retry_after: int | None) -> None:
    """The status says who can do something about it: the client, later, or the operator."""
    answer = answer_to(error)
    assert (answer.status, answer.retry_after_seconds) == (status, retry_after)


def test_subclass_of_an_error_is_answered_like_it() -> None:
    """An error that a third party's store derives from ours keeps its status."""

    class Overloaded(errors.StoreUnavailableError):
        pass

    assert answer_to(Overloaded("x", "y", "z")).status == 503


@pytest.mark.parametrize(
    "scheme, headers, plain",
    [
        ("http", {}, True),
        ("https", {}, False),
        ("http", {"x-forwarded-proto": "https"}, False),
        ("http", {"x-forwarded-proto": "HTTPS, http"}, False),
        ("http", {"x-forwarded-proto": "http"}, True),
        ("http", {"x-forwarded-for": "192.0.2.1"}, False),
        ("http", {"forwarded": "for=192.0.2.1"}, False),
    ],
)
def test_plain_http_is_told_only_where_it_is_sure(scheme: str, headers: dict[str, str], plain: bool) -> None:
    """Behind a proxy that does not say what it speaks, nobody is warned of a cookie that may be safe."""
    assert is_plain(scheme, headers.get) is plain


@pytest.mark.parametrize(
    "headers, expected",
    [
        ([("Cache-Control", "public")], True),
        ([("cache-control", "max-age=60, Public")], True),
        ([("Cache-Control", "max-age=60"), ("Cache-Control", "public")], True),
        ([("Cache-Control", "private")], False),
        ([("Cache-Control", "max-age=60, x-public-note")], False),
        ([("X-Note", "public")], False),
        ([], False),
    ],
)
def test_t39_only_the_directive_makes_a_response_public(headers: list[tuple[str, str]], expected: bool) -> None:
    """Whatever else is called like it leaves the body free to look at the session, and the response private."""
    assert is_public(headers) is expected
