"""The session protocol as other programs use it, under every framework: incident D cannot happen."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import SessionPolicy
from sessionguard.adapters.external import Bearer, Claim, Select, Strict
from sessionguard.core.events import ExternalIdRejected, TokenMisplaced
from sessionguard.errors import SessionEndedError
from sessionguard.testing.profile import Profile
from tests.adapters.external.conftest import BuildStage
from tests.adapters.external.stage import Answer

A, B = "c1hx6KZ3vQ9m2LrT8wYbNd", "pX7fJ0sUe4-G_iRk5VzOaH"
"""Two ids that nobody guesses."""


# Incident D


def test_workflows_of_one_caller_are_kept_apart(stage: BuildStage) -> None:
    """Documents of one workflow never turn up in another, whichever way their sessions were named."""
    caller = stage(Select()).browser().login("app-1")
    sids = [caller.opened("_sid=42"), caller.opened("_sid=43"), caller.opened(), caller.opened()]
    assert len(set(sids)) == 4
    for sid in sids:
        caller.add(sid, f"report-{sid[:8]}")
    assert [caller.documents(sid) for sid in sids] == [[f"report-{sid[:8]}"] for sid in sids]


def test_given_id_is_honoured_exactly(stage: BuildStage) -> None:
    """A call that carries an id reaches the session that was opened under it, and no other, call after call."""
    made = stage(Select(expose_id="external"))
    caller = made.browser().login("app-1")
    assert caller.opened("_sid=42") == "42"
    for number in range(3):
        caller.add("42", f"page{number}")
    assert caller.documents("42") == ["page0", "page1", "page2"]
    assert [session.external_id for session in made.back.active()] == ["42"]
    assert caller.documents("4") == caller.documents("421") == []


def test_new_session_with_an_id_is_a_clean_slate(stage: BuildStage) -> None:
    """What the id had before is over, with its files; nothing of it is in the new one."""
    made = stage(Select())
    caller = made.browser().login("app-1")
    first = caller.opened("_sid=42")
    caller.add("42", "old")
    answer = caller.post("/new-session", "_sid=42")
    assert answer.json["removed"] == {"files": 1, "bytes": 3, "deferred": False, "failed": False}
    assert answer.json["external_id"] == "42"
    assert answer.json["session_id"] != first
    assert caller.documents("42") == []
    assert caller.get("/work", f"_sid={first}").status == 404
    former = made.back.guard.get(first)
    assert former is not None
    assert former.reason == "replaced"


@pytest.mark.parametrize("policy", [Strict(), Select()])
def test_new_session_with_an_id_of_the_server_is_a_clean_slate(stage: BuildStage, policy: Any) -> None:
    """Ids of the server are never used twice, so the new session has another one."""
    caller = stage(policy).browser().login("app-1")
    first = caller.opened()
    caller.add(first, "old")
    answer = caller.post("/new-session", f"_sid={first}")
    assert answer.json["removed"]["files"] == 1
    assert caller.documents(answer.json["session_id"]) == []
    assert caller.get("/work", f"_sid={first}").status == 404


def test_clear_session_ends_that_session_only_and_says_what_it_removed(stage: BuildStage) -> None:
    """Repeating it is safe, and changes nothing; the neighbours keep their documents and files."""
    made = stage(Select(creates_on_use=False))
    caller = made.browser().login("app-1")
    caller.opened("_sid=42")
    caller.opened("_sid=43")
    caller.add("42", "report")
    caller.add("43", "other")
    removed = {"files": 1, "bytes": 6, "deferred": False, "failed": False}
    assert caller.post("/clear-session", "_sid=42").json == {"session_id": "42", "cleared": True, "removed": removed}
    nothing = {"files": 0, "bytes": 0, "deferred": False, "failed": False}
    for _ in range(2):
        answer = caller.post("/clear-session", "_sid=42")
        assert (answer.status, answer.json) == (200, {"session_id": "42", "cleared": False, "removed": nothing})
    assert caller.documents("43") == ["other"]
    assert caller.get("/work", "_sid=42").status == 404
    assert [session.external_id for session in made.back.active()] == ["43"]


def test_clear_session_tells_of_files_that_are_in_use(stage: BuildStage) -> None:
    """They stay until whoever uses them is done; the session is over at once."""
    made = stage(Select())
    caller = made.browser().login("app-1")
    caller.add("42", "report")
    (session,) = made.back.active()
    with made.back.guard.workspace(session):
        answer = caller.post("/clear-session", "_sid=42")
        assert answer.json["cleared"] is True
        assert answer.json["removed"]["deferred"] is True
        with pytest.raises(SessionEndedError):
            made.back.guard.save(session, {"late": 1})


def test_clear_session_without_an_id_is_refused(stage: BuildStage) -> None:
    """It never guesses which one is meant; least of all the browser's own."""
    made = stage(Select())
    caller = made.browser().login("app-1")
    caller.opened()
    answer = caller.post("/clear-session")
    assert (answer.status, answer.json) == (400, {"detail": "Bad Request", "error": "invalid_argument"})
    assert len(made.back.active()) == 1
    assert caller.get("/work").json["visitor"] == "app-1"


def test_external_and_internal_sessions_do_not_mix(stage: BuildStage) -> None:
    """The browser's own session is no external one, and clearing those leaves it alone, be it named by its id."""
    made = stage(Strict())
    caller = made.browser().login("app-1")
    (own,) = made.back.active("default")
    sid = caller.opened()
    caller.add(sid, "report")
    assert caller.get("/work", f"_sid={own.id}").status == 404
    assert caller.post("/clear-session", f"_sid={own.id}").json["cleared"] is False
    caller.post("/clear-session", f"_sid={sid}")
    assert caller.get("/work").json == {"id": None, "documents": [], "visitor": "app-1"}
    assert [session.id for session in made.back.active("default")] == [own.id]


def test_sessions_stay_across_requests_until_they_expire(stage: BuildStage) -> None:
    """Use keeps a session alive; one that nobody uses is gone, like one that never was."""
    made = stage(Strict())
    caller = made.browser().login("app-1")
    sid = caller.opened()
    caller.add(sid, "report")
    assert caller.documents(sid) == ["report"]
    unknown = caller.get("/work", "_sid=" + "0" * 34)
    made.back.clock.advance(timedelta(hours=3))
    caller.login("app-1")
    expired = caller.get("/work", f"_sid={sid}")
    assert (expired.status, expired.text) == (unknown.status, unknown.text) == (404, unknown.text)


def test_caller_is_no_visitor_of_ours(stage: BuildStage) -> None:
    """Whoever may choose the name that the program makes of a key would get what belongs to the visitor."""
    made = stage(Select(), caller=lambda header: "anonymous-" + "0" * 32)
    assert made.browser().post("/new-session", "_sid=42").status == 500
    assert made.back.active() == []


BEARER = Bearer(unsafe_bearer_external_ids="I accept CWE-488/CWE-598", lifetime=timedelta(hours=1))
EVERY_SPELLING: list[Any] = [
    pytest.param(Strict(), "", ["get", "load"], id="strict"),
    pytest.param(Select(), "", ["get", "load"], id="select-by-the-servers-id"),
    pytest.param(Select(), "_sid=42", ["get_or_create"], id="select-by-name"),
    pytest.param(Select(creates_on_use=False), "_sid=42", ["page", "load"], id="select-what-is-there"),
    pytest.param(Claim(), f"_sid={A}", ["load"], id="claim"),
    pytest.param(Claim(), "", ["load"], id="claim-by-the-servers-id"),
    pytest.param(BEARER, f"_sid={A}", ["page", "load"], id="bearer"),
    pytest.param(BEARER, "", ["get", "load"], id="bearer-by-the-servers-id"),
]
"""A policy, what a session is opened with, and what a use asks the store besides the visitor when a touch is due."""


@pytest.mark.parametrize("policy, opened_by, asks", EVERY_SPELLING)
def test_session_that_is_used_lives_on(stage: BuildStage, policy: Any, opened_by: str, asks: list[str]) -> None:
    """However it is named; to look at it, and to list it, keeps nothing alive."""
    rules = SessionPolicy(idle_timeout=timedelta(minutes=20), touch_interval=timedelta(minutes=1))
    visitors = SessionPolicy(idle_timeout=timedelta(days=1))
    made = stage(policy, guard_policy={"default": visitors, "*": rules}, may_debug=lambda request: True)
    caller, store = made.browser().login("app-1"), made.back.store
    given, clock = caller.opened(opened_by), made.back.clock
    sid = opened_by.removeprefix("_sid=") or given
    store.asked()
    assert caller.get("/work", f"_sid={sid}").status == 200
    unused = asks if len(asks) == 1 else asks[:-1]
    assert sorted(store.asked()) == sorted(["load", *unused])
    for _ in range(3):
        clock.advance(timedelta(minutes=12))
        store.asked()
        assert caller.get("/work", f"_sid={sid}").status == 200
        assert sorted(store.asked()) == sorted(["load", *asks])
    clock.advance(timedelta(minutes=12))
    assert caller.get("/debug-sessions", f"_sid={sid}").json["total"] == 1
    clock.advance(timedelta(minutes=8))
    assert made.back.active() == []


def test_debug_page_shows_the_caller_what_is_his(stage: BuildStage) -> None:
    """The current session, how far its work is, all his sessions and their number; no token, and nobody else's."""
    made = stage(
        Select(expose_id="external"), may_debug=lambda request: True, workflow=lambda session: len(session.data)
    )
    other, caller = made.browser().login("app-2"), made.browser().login("app-1")
    other.add("42", "secret")
    caller.add("42", "report")
    sid = caller.opened()
    answer = caller.get("/debug-sessions", "_sid=42")
    shown = answer.json
    assert shown["policy"] == "select"
    assert shown["current_session"]["session_id"] == "42"
    assert shown["workflow"] == {"status": "active", "version": 2, "fields": ["documents"], "progress": 1}
    assert {session["session_id"] for session in shown["sessions"]} == {"42", sid}
    assert shown["total"] == 2
    assert "sg1_" not in answer.text
    assert "secret" not in answer.text
    assert answer.all("Cache-Control") == ["private, no-store"]
    assert made.browser().get("/debug-sessions", "_sid=42").json["total"] == 0


def test_debug_page_opens_nothing(stage: BuildStage) -> None:
    """To look at a session that is not there leaves it so."""
    made = stage(Select(), may_debug=lambda request: True)
    caller = made.browser().login("app-1")
    assert caller.get("/debug-sessions", "_sid=42").json["current_session"] is None
    assert made.back.active() == []


@pytest.mark.parametrize("may_debug", [None, lambda request: False, lambda request: "yes", lambda request: None])
def test_debug_page_is_not_there_unless_enabled_and_allowed(stage: BuildStage, may_debug: Any) -> None:
    """Off is the default, and only True lets anybody in."""
    caller = stage(Select(), may_debug=may_debug).browser().login("app-1")
    assert caller.get("/debug-sessions").status == 404


# Names


def test_strict_takes_no_id_of_the_clients_choice(stage: BuildStage) -> None:
    """The server gives one of its own, and tells that it did; the id asked for leads nowhere."""
    made = stage()
    caller = made.browser().login("app-1")
    answer = caller.post("/new-session", "_sid=42")
    assert answer.json["external_id"] is None
    assert answer.json["session_id"] != "42"
    assert [event.reason for event in made.back.told(ExternalIdRejected)] == ["not taken"]
    assert caller.get("/work", "_sid=42").status == 404


REFUSED: list[tuple[str, dict[str, str], Any, str | None]] = [
    ("_sid=a&_sid=b", {}, None, None),
    ("_sid=a&_sid=a", {}, None, None),
    ("_sid=a&%5Fsid=b", {}, None, None),
    ("_sid[]=a", {}, None, None),
    ("_sid=a&_sid[0]=b", {}, None, None),
    ("_sid=", {}, None, None),
    ("_sid=a,b", {}, None, None),
    ("_sid=a;_sid=b", {}, None, None),
    ("_sid=a%0A", {}, None, None),
    ("_sid=a%00", {}, None, None),
    ("_sid=..%2Fa", {}, None, None),
    ("_sid=" + "a" * 129, {}, None, None),
    ("_sid=undefined", {}, None, None),
    ("_sid=null", {}, None, None),
    ("_sid=a", {"SessionGuard-Sid": "b"}, None, None),
    ("_sid=a", {"SessionGuard-Sid": "a"}, None, None),
    ("", {"SessionGuard-Sid": "a, b"}, None, None),
    ("_sid=a", {}, {"_sid": "b"}, None),
    ("", {"SessionGuard-Sid": "a"}, {"_sid": "a"}, None),
    ("", {}, [("_sid", "a"), ("_sid", "b")], None),
    ("_sid=a", {}, None, '{"_sid": "b"}'),
    ("", {}, None, '{"_sid": "a", "_sid": "b"}'),
    ("", {}, None, '{"_sid": ["a"]}'),
    ("", {}, None, '{"_sid": 42}'),
    ("", {}, None, '{"_sid": null}'),
    ("", {}, None, '{"_sid": "a", "\\u005fsid": "b"}'),
    ("", {}, None, '{"_sid": "a"'),
]
"""Query, headers, form and JSON of requests that name no session, or several."""


def test_t44_several_or_impossible_values_are_refused(stage: BuildStage) -> None:
    """Never the first, never the last: whichever the program behind us would take, it is not asked."""
    made = stage(Select())
    caller = made.browser().login("app-1")
    made.back.store.asked()
    for query, headers, form, json_text in REFUSED:
        for path in ("/new-session", "/clear-session", "/work"):
            answer = caller.post(path, query, headers, form=form, json_text=json_text)
            assert answer.status == 400, (path, query, headers, form, json_text)
            assert answer.all("Set-Cookie") == []
    assert set(made.back.store.asked()) <= {"load"}
    assert made.back.active() == []


@pytest.mark.parametrize(
    "query, headers, form, json_text",
    [
        ("_sid=a", {}, None, None),
        ("x=_sid&_sid=a&_side=b", {}, None, None),
        ("", {"SessionGuard-Sid": "a"}, None, None),
        ("", {}, {"_sid": "a", "document": "x"}, None),
        ("", {}, None, '{"_sid": "a", "more": {"_sid": "b"}}'),
    ],
)
def test_t44_one_value_counts_wherever_it_stands(
    stage: BuildStage, query: str, headers: dict[str, str], form: Any, json_text: str | None
) -> None:
    """In the query, in the header, in a form or at the top of JSON."""
    made = stage(Select())
    caller = made.browser().login("app-1")
    for path in ("/new-session", "/work", "/clear-session"):
        assert caller.post(path, query, headers, form=form, json_text=json_text).status in (200, 201)
        assert {session.external_id for session in made.back.active()} <= {"a"}


def test_t44_name_is_not_overlooked_in_a_body_of_another_kind(stage: BuildStage) -> None:
    """The protocol's own routes refuse what they do not read; the application's may have any body."""
    made = stage(Select())
    caller = made.browser().login("app-1")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="_sid"\r\n\r\n42\r\n--x--\r\n'
    for path in ("/new-session", "/clear-session"):
        assert caller.send("POST", path, "", kind, body).status == 400
    assert made.back.active() == []
    assert caller.send("POST", "/work", "_sid=43", kind, body).status == 200


def test_t44_two_owners_in_one_request_are_refused(stage: BuildStage) -> None:
    """An API key of one and a cookie of another: nothing tells whose session is meant."""
    made = stage(Select(), caller=lambda header: header("X-Key"))
    caller = made.browser().login("ana")
    key = {"X-Key": "app-1"}
    for path in ("/new-session", "/clear-session", "/work"):
        assert caller.post(path, "_sid=42", key).status == 409
    assert made.back.active() == []
    assert made.browser().post("/work", "_sid=42", key).status == 200
    assert made.back.active()[0].owner == "app-1"


@pytest.mark.parametrize("policy", [Strict(), Select(), Claim()])
def test_t46_token_in_a_url_or_body_opens_nothing(stage: BuildStage, policy: Any) -> None:
    """It is ignored wherever it stands but in its cookie, and that it stood there is told, without it."""
    made = stage(policy)
    caller = made.browser().login("ana")
    (token,) = caller.cookies.values()
    stranger = made.browser()
    places: list[tuple[str, Callable[[], Answer]]] = [
        ("query", lambda: stranger.get("/work", f"_sid={token}")),
        ("query", lambda: stranger.get("/work", f"token={token}")),
        ("body", lambda: stranger.post("/work", form={"t": token})),
        ("body", lambda: stranger.post("/work", json_text=f'{{"_sid": "{token}"}}')),
        ("header", lambda: stranger.get("/work", headers={"SessionGuard-Sid": token})),
    ]
    for place, ask in places:
        made.back.events.clear()
        answer = ask()
        assert answer.json == {"id": None, "documents": [], "visitor": None}, place
        assert [event.place for event in made.back.told(TokenMisplaced)] == [place]
        assert token not in repr(made.back.events) + answer.text
    assert stranger.cookies == {}


def test_t46_no_answer_holds_a_token(stage: BuildStage) -> None:
    """Bodies and headers other than Set-Cookie are free of secrets."""
    made = stage(Claim(), may_debug=lambda request: True)
    caller = made.browser().login("ana")
    for ask in ("/new-session", "/work", "/clear-session"):
        answer = caller.post(ask, f"_sid={A}")
        told = [value for name, value in answer.headers if name.lower() != "set-cookie"]
        assert "sg1_" not in answer.text + "".join(told)


# Whose sessions they are


@pytest.mark.parametrize("owners", [("ana", "bob"), (None, None), (None, "bob")])
def test_t47_same_id_of_two_callers_is_two_sessions(stage: BuildStage, owners: Any) -> None:
    """Each has his own namespace, be he known by name or by cookie only."""
    made = stage(Select())
    callers = [made.browser() if owner is None else made.browser().login(owner) for owner in owners]
    for number, caller in enumerate(callers):
        caller.opened("_sid=42")
        caller.add("42", f"of{number}")
    assert [caller.documents("42") for caller in callers] == [["of0"], ["of1"]]
    assert len(made.back.active()) == 2


@pytest.mark.parametrize("policy", [Strict(), Select(), Select(creates_on_use=False), Claim()])
def test_t47_foreign_id_of_the_server_is_like_an_unknown_one(stage: BuildStage, policy: Any) -> None:
    """The same status and body, whether it is somebody else's, over, or never was; on every route."""
    made = stage(policy)
    victim, attacker = made.browser().login("ana"), made.browser().login("bob")
    foreign, over = victim.opened(), attacker.opened()
    victim.add(foreign, "secret")
    attacker.post("/clear-session", f"_sid={over}")
    for method, path in (("GET", "/work"), ("POST", "/work")):
        answers = [attacker.send(method, path, f"_sid={sid}") for sid in (foreign, over, "0" * 34)]
        assert len({(answer.status, answer.text) for answer in answers}) == 1
        assert answers[0].status == 404
    cleared = [attacker.post("/clear-session", f"_sid={sid}").json for sid in (foreign, over, "0" * 34)]
    assert [{**body, "session_id": ""} for body in cleared] == [{**cleared[0], "session_id": ""}] * 3
    assert cleared[0]["cleared"] is False
    assert victim.documents(foreign) == ["secret"]


def test_t49_two_tabs_have_two_sessions_and_login_keeps_the_id(stage: BuildStage) -> None:
    """The token changes at login, the id stays; each tab goes on with its own documents."""
    made = stage(Select())
    caller = made.browser().login("ana")
    for tab in ("tab1", "tab2"):
        caller.opened(f"_sid={tab}")
        caller.add(tab, f"doc-{tab}")
    before = dict(caller.cookies)
    caller.login("ana")
    assert caller.cookies != before
    assert [caller.documents(tab) for tab in ("tab1", "tab2")] == [["doc-tab1"], ["doc-tab2"]]


def test_login_as_somebody_else_shows_nothing_of_the_one_before(stage: BuildStage) -> None:
    """Whoever uses the browser next has a namespace of his own under the same ids."""
    caller = stage(Select()).browser().login("ana")
    caller.add("42", "secret")
    assert caller.login("bob").documents("42") == []


def test_anonymous_documents_do_not_move_at_login(stage: BuildStage) -> None:
    """What a visitor did without a name stays with that; nothing is merged silently."""
    caller = stage(Select()).browser()
    caller.opened("_sid=42")
    caller.add("42", "draft")
    assert caller.login("ana").documents("42") == []


# What opens nothing


def test_t43_get_opens_nothing_for_strangers(stage: BuildStage) -> None:
    """A crawler that follows links leaves no session and gets no cookie, under any policy that needs no login."""
    for policy in (Strict(), Select(), Claim()):
        made = stage(policy)
        crawler = made.browser()
        for method in ("GET", "HEAD", "POST"):
            assert crawler.send(method, "/work", f"_sid={A}").status == 404
        assert crawler.cookies == {}
        assert made.back.active() == made.back.active("default") == []


def test_t43_visitor_without_a_name_opens_only_by_asking(stage: BuildStage) -> None:
    """He is known by a cookie that anybody gets: naming a session that he has not opened opens none."""
    made = stage(Select())
    visitor = made.browser()
    visitor.opened("_sid=42")
    for method in ("GET", "POST"):
        assert visitor.send(method, "/work", "_sid=43").status == 404
        assert visitor.send(method, "/work", "_sid=42").status == 200
    assert [session.external_id for session in made.back.active()] == ["42"]


def test_t43_prefetch_opens_nothing(stage: BuildStage) -> None:
    """Nobody has clicked yet."""
    made = stage(Select())
    caller = made.browser().login("ana")
    for header in ({"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}):
        assert caller.get("/work", "_sid=42", header).status == 404
    assert made.back.active() == []
    assert caller.get("/work", "_sid=42").status == 200


def test_t43_page_of_another_site_opens_and_clears_nothing(stage: BuildStage) -> None:
    """The browser sends the cookie, and tells whose page it was."""
    made = stage(Select())
    caller = made.browser().login("ana")
    caller.opened("_sid=42")
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://blog.example.org"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://app.example.org.evil.example"},
        {"Origin": "https://app.example.org:8443"},
    ):
        for path, query in (("/new-session", ""), ("/clear-session", "_sid=42"), ("/work", "_sid=43")):
            assert caller.post(path, query, headers).status == 403, (path, headers)
    assert [session.external_id for session in made.back.active()] == ["42"]


def test_t43_own_pages_trusted_ones_and_programs_may(stage: BuildStage) -> None:
    """Behind proxies too, that change the scheme or the host."""
    caller = stage(Select(), trusted_origins=("https://partner.example",)).browser().login("ana")
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://rewritten.example"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://app.example.org"},
        {"Origin": "http://app.example.org"},
        {"Origin": "https://partner.example", "Sec-Fetch-Site": "cross-site"},
    ):
        assert caller.post("/new-session", "", headers).status == 201, headers


def test_t45_owner_is_never_taken_from_a_header_of_the_client(stage: BuildStage) -> None:
    """What proxies are known to set counts for nothing here."""
    made = stage(Select())
    made.browser().login("ana").add("42", "secret")
    headers = {"X-Forwarded-User": "ana", "X-User-ID": "ana", "X_User_ID": "ana", "Remote-User": "ana"}
    assert made.browser().get("/work", "_sid=42", headers).status == 404


def test_t07_caller_that_is_nobody_is_the_programs_fault(stage: BuildStage) -> None:
    """It is never a name that several strangers share."""
    callers: list[Any] = ["", "None", " ana", 0, True, b"ana"]
    made = stage(Select(), caller=lambda header: callers[0])
    while callers:
        assert made.browser().post("/new-session").status == 500, callers[0]
        callers.pop(0)
    assert made.back.active() == []


# What it costs, and what cannot be reached


def test_naming_a_session_costs_one_question(stage: BuildStage) -> None:
    """However often it is asked for; and the visitor's own is asked for once more."""
    made = stage(Select(), caller=lambda header: header("X-Key"))
    caller = made.browser()
    caller.post("/new-session", "_sid=42", {"X-Key": "app-1"})
    made.back.store.asked()
    caller.get("/work", "_sid=42", {"X-Key": "app-1"})
    assert made.back.store.asked() == ["get_or_create"]
    caller.get("/work", "", {"X-Key": "app-1"})
    assert made.back.store.asked() == []
    caller.login("app-1")
    made.back.store.asked()
    caller.get("/work", "_sid=42")
    assert made.back.store.asked() == ["load", "get_or_create"]


@pytest.mark.parametrize("policy", [Strict(), Select(), Claim()])
def test_t60_outage_is_no_unknown_session(stage: BuildStage, policy: Any) -> None:
    """It is 503 on every route; nobody is given another session, and no cookie changes."""
    made = stage(policy)
    caller = made.browser().login("ana")
    sid = caller.opened("" if isinstance(policy, Strict) else f"_sid={A}")
    before = dict(caller.cookies)
    made.back.store.failing = {"load", "get", "get_or_create", "replace", "create", "page", "end"}
    for method, path in (("GET", "/work"), ("POST", "/new-session"), ("POST", "/clear-session")):
        answer = caller.send(method, path, f"_sid={sid}")
        assert answer.status == 503
        assert answer.all("Retry-After") == ["5"]
    for verb in ("load", "get", "get_or_create", "page"):
        made.back.store.failing = {verb}
        assert caller.get("/work", f"_sid={sid}").status in (200, 503), verb
    assert caller.cookies == before
    made.back.store.failing = set()
    assert caller.documents(sid) == []


def test_every_answer_is_kept_from_shared_caches(stage: BuildStage) -> None:
    """Whatever was found; but a page that asks for no session may be kept."""
    caller = stage(Select()).browser().login("ana")
    for method, path, query in (
        ("POST", "/new-session", "_sid=42"),
        ("GET", "/work", "_sid=42"),
        ("GET", "/work", "_sid=a&_sid=b"),
        ("POST", "/clear-session", "_sid=42"),
        ("POST", "/clear-session", ""),
    ):
        answer = caller.send(method, path, query)
        assert "Cookie" in ", ".join(answer.all("Vary"))
        assert answer.all("Cache-Control") == ["private, no-store"]
    assert caller.get("/plain", "_sid=a&_sid=b").all("Vary") == []


# Races


def test_two_new_sessions_of_one_id_at_once_leave_one(stage: BuildStage, sg_profile: Profile, tmp_path: Any) -> None:
    """Both callers are answered; the later one's session is the active one, and the other is over, not shared."""
    made = stage(Select(), url=f"sqlite:///{tmp_path}/sessions.db", caller=lambda header: "app-1")
    for number in range(sg_profile.rounds):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _, n=number: made.browser().post("/new-session", f"_sid=n{n}"), range(4)))
        assert [answer.status for answer in answers] == [201] * 4
        ids = {answer.json["session_id"] for answer in answers}
        assert len(ids) == 4
        active = [session for session in made.back.active() if session.external_id == f"n{number}"]
        assert len(active) == 1
        assert active[0].id in ids


def test_concurrent_workflows_keep_their_documents(stage: BuildStage, tmp_path: Any) -> None:
    """Callers that work at once, each on his ids, find exactly what they put there."""
    made = stage(Select(), url=f"sqlite:///{tmp_path}/sessions.db", caller=lambda header: header("X-Key"))

    def drive(owner: str) -> list[list[str]]:
        browser = made.browser()
        browser.headers["X-Key"] = owner
        for sid in ("1", "2"):
            browser.opened(f"_sid={sid}")
        for number in range(3):
            for sid in ("1", "2"):
                browser.add(sid, f"{owner}-{sid}-{number}")
        return [browser.documents(sid) for sid in ("1", "2")]

    owners = [f"app-{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(owners, pool.map(drive, owners), strict=True))
    assert found == {
        owner: [[f"{owner}-{sid}-{number}" for number in range(3)] for sid in ("1", "2")] for owner in owners
    }
