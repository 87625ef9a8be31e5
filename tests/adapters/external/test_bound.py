"""`Signed`, `Claim` and `Bearer` under every framework: who is let in, who is kept out, and what they learn."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from sessionguard import SessionGuard, SessionPolicy
from sessionguard.adapters.external import (
    Bearer,
    Carried,
    Claim,
    ExternalFlows,
    ExternalIds,
    NamingRequest,
    Signed,
    sign_external_id,
)
from sessionguard.adapters.external.bindings import MOST
from sessionguard.adapters.external.by_binding import CLAIMANT
from sessionguard.adapters.external.identifiers import fingerprint
from sessionguard.adapters.external.mounting import external_of
from sessionguard.adapters.http import CookieSettings
from sessionguard.adapters.visits import Visit, VisitRules
from sessionguard.core.events import ExternalIdAccepted, ExternalIdRejected
from sessionguard.core.session import Session
from sessionguard.core.tokens import KeyRing
from sessionguard.errors import ExternalIdClaimedError
from sessionguard.testing.profile import Profile
from tests.adapters.external.conftest import BuildStage
from tests.adapters.external.stage import Stage

KEYS = KeyRing({"a": "kq8Zr5vT1xW7yB3nM9pL2sD6fG4hJ0aC"}, current="a")
SIGNED = Signed(keys=KEYS, audience="app.example.org")
BEARER = Bearer(unsafe_bearer_external_ids="I accept CWE-488/CWE-598")
A, B = "c1hx6KZ3vQ9m2LrT8wYbNd", "pX7fJ0sUe4-G_iRk5VzOaH"
"""Two ids that nobody guesses."""


def link(made: Stage, external_id: str = "42", owner: str = "ana", **changes: Any) -> str:
    """Give the query of a link as the integrator's server makes it."""
    about: dict[str, Any] = {"keys": KEYS, "audience": "app.example.org", "now": made.back.clock(), **changes}
    return sign_external_id(external_id, owner=owner, **about).query


# Signed


def test_t49_signed_link_binds_the_browser_that_uses_it(stage: BuildStage) -> None:
    """From then on the id is enough for that browser, and for no other."""
    made = stage(SIGNED)
    browser, stranger = made.browser(), made.browser()
    answer = browser.get("/work", link(made))
    assert (answer.status, answer.all("Referrer-Policy")) == (200, ["no-referrer"])
    (name,) = browser.cookies
    assert name.startswith("__Host-sgx-")
    browser.add("42", "report")
    assert browser.documents("42") == ["report"]
    assert stranger.get("/work", "_sid=42").status == 404
    assert [session.owner for session in made.back.active()] == ["ana"]
    assert made.back.active("default") == []


def test_t37_binding_cookie_is_exactly_this(stage: BuildStage) -> None:
    """No other host gets it, no script reads it, and it is removed with the attributes it was set with."""
    made = stage(SIGNED)
    browser = made.browser()
    (cookie,) = browser.post("/new-session", link(made)).all("Set-Cookie")
    name, *flags = (part.strip() for part in cookie.split(";"))
    assert name.startswith("__Host-sgx-")
    # Django writes them in another order.
    assert sorted(map(str.lower, flags)) == ["httponly", "path=/", "samesite=lax", "secure"]
    (deletion,) = browser.post("/clear-session", "_sid=42").all("Set-Cookie")
    forgotten, *others = (part.strip() for part in deletion.split(";"))
    assert forgotten.replace('""', "") == name.partition("=")[0] + "="
    gone = ["expires=thu, 01 jan 1970 00:00:00 gmt", "max-age=0"]
    assert sorted(map(str.lower, others)) == sorted([*gone, *map(str.lower, flags)])
    assert browser.cookies == {}


def test_t33_signature_for_another_place_opens_nothing(stage: BuildStage) -> None:
    """Another deployment, kind of session, id, owner or key ring: refused like no signature at all, and told."""
    made = stage(SIGNED)
    foreign = KeyRing({"a": "Zx8Rr5vT1xW7yB3nM9pL2sD6fG4hJ0bD"}, current="a")
    other_owner = link(made).replace(owner_in("ana"), owner_in("bob"))
    assert other_owner != link(made)
    wrong = [
        link(made, audience="other.example.org"),
        link(made, scope="uploads"),
        link(made).replace("_sid=42", "_sid=43"),
        link(made, keys=foreign),
        other_owner,
    ]
    for query in wrong:
        answers = [made.browser().post(path, query) for path in ("/new-session", "/work")]
        assert [(answer.status, answer.all("Set-Cookie")) for answer in answers] == [(403, [])] * 2, query
    assert {event.reason for event in made.back.told(ExternalIdRejected)} == {"wrong signature"}
    assert made.back.active() == []


def test_t34_signed_fields_cannot_be_shifted_into_each_other(stage: BuildStage) -> None:
    """However owner and id are cut from the same letters, what was signed for one cut opens nothing for another."""
    cuts = [("ab", "c"), ("a", "bc"), ("abc", "c"), ("b", "ca")]
    for signed_owner, signed_id in cuts:
        made = stage(SIGNED)
        for owner, external_id in cuts:
            moved = link(made, signed_id, signed_owner).replace(f"_sid={signed_id}&", f"_sid={external_id}&")
            query = moved.replace(owner_in(signed_owner), owner_in(owner))
            status = 201 if (owner, external_id) == (signed_owner, signed_id) else 403
            assert made.browser().post("/new-session", query).status == status
        assert [(each.owner, each.external_id) for each in made.back.active()] == [(signed_owner, signed_id)]


def owner_in(owner: str) -> str:
    """Give how `owner` stands in a signature."""
    return "." + urlsafe_b64encode(owner.encode()).decode().rstrip("=") + "."


def test_t49_signature_is_used_once(stage: BuildStage) -> None:
    """Who comes second with the same link is refused like one whose signature is wrong, on every route."""
    made = stage(SIGNED)
    used = link(made)
    assert made.browser().post("/new-session", used).status == 201
    wrong = [
        used,
        link(made, audience="other.example.org"),
        link(made, scope="uploads"),
        link(made, now=made.back.clock() - timedelta(minutes=5)),
        link(made).replace("_sid=42", "_sid=43"),
        link(made)[:-1],
        "_sid=42&_sig=",
        "_sid=42&_sig=x",
    ]
    for method, path in (("POST", "/new-session"), ("POST", "/work"), ("GET", "/work")):
        answers = [made.browser().send(method, path, query) for query in wrong]
        assert {(answer.status, answer.text) for answer in answers} == {(403, answers[0].text)}
        assert all(answer.all("Set-Cookie") == [] for answer in answers)
    assert "replayed" in {event.reason for event in made.back.told(ExternalIdRejected)}
    assert len(made.back.active()) == 1


def test_t49_replay_is_refused_after_the_session_is_over(stage: BuildStage) -> None:
    """That it was used is remembered apart from what it opened."""
    made = stage(SIGNED)
    browser, used = made.browser(), link(made)
    browser.post("/new-session", used)
    browser.post("/clear-session", "_sid=42")
    made.back.guard.sweep()
    assert browser.post("/new-session", used).status == 403


def test_t49_two_uses_at_once_have_one_winner(stage: BuildStage, sg_profile: Profile, tmp_path: Any) -> None:
    """Whichever worker looks first; the others open nothing."""
    made = stage(SIGNED, url=f"sqlite:///{tmp_path}/sessions.db")
    for number in range(sg_profile.rounds):
        used = link(made, f"n{number}")
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _, query=used: made.browser().get("/work", query), range(4)))
        assert sorted(answer.status for answer in answers) == [200, 403, 403, 403]


def test_t49_two_tabs_have_two_sessions(stage: BuildStage) -> None:
    """One browser is bound to both, each under its own id."""
    made = stage(SIGNED)
    browser = made.browser()
    for sid in ("tab1", "tab2"):
        browser.post("/new-session", link(made, sid))
        browser.add(sid, f"doc-{sid}")
    assert [browser.documents(sid) for sid in ("tab1", "tab2")] == [["doc-tab1"], ["doc-tab2"]]
    assert browser.post("/clear-session", "_sid=tab1").json["cleared"] is True
    assert browser.get("/work", "_sid=tab1").status == 404
    assert browser.documents("tab2") == ["doc-tab2"]


def test_newer_signature_moves_the_session_to_another_browser(stage: BuildStage) -> None:
    """With its documents; the one that had it before is out after the grace of a rotation."""
    made = stage(SIGNED)
    old, new = made.browser(), made.browser()
    old.post("/new-session", link(made))
    old.add("42", "report")
    assert new.get("/work", link(made)).json["documents"] == ["report"]
    made.back.clock.advance(timedelta(minutes=1))
    assert old.get("/work", "_sid=42").status == 404
    assert new.documents("42") == ["report"]


def test_bound_browser_starts_anew_without_another_signature(stage: BuildStage) -> None:
    """It has shown whose it is; the old session is over, and its binding with it."""
    made = stage(SIGNED)
    browser = made.browser()
    browser.post("/new-session", link(made))
    browser.add("42", "old")
    before = dict(browser.cookies)
    answer = browser.post("/new-session", "_sid=42")
    assert answer.json["session_id"] == "42"
    assert answer.json["removed"]["files"] == 1
    assert browser.documents("42") == []
    assert browser.cookies.keys() == before.keys()
    assert browser.cookies != before


@pytest.mark.parametrize("query", ["", "_sid=42", "_sid=" + "0" * 34])
def test_unsigned_session_is_not_opened(stage: BuildStage, query: str) -> None:
    """Only the integrator's server lets anybody in."""
    made = stage(SIGNED)
    assert made.browser().post("/new-session", query).status == 403
    assert made.browser().login("ana").post("/new-session", query).status == 403
    assert made.back.active() == []


def test_signature_does_not_override_who_is_logged_in(stage: BuildStage) -> None:
    """Cookie and signature of two owners disagree: neither silently wins, and the signature is not used up."""
    made = stage(SIGNED)
    bob, query = made.browser().login("bob"), link(made)
    assert bob.get("/work", query).status == 409
    assert bob.post("/new-session", query).status == 409
    assert made.back.active() == []
    assert made.browser().login("ana").get("/work", query).status == 200


def test_next_user_of_the_browser_does_not_go_on(stage: BuildStage) -> None:
    """The binding is still there; that somebody else is logged in now is enough to be told so."""
    made = stage(SIGNED)
    browser = made.browser()
    browser.post("/new-session", link(made))
    browser.add("42", "secret")
    browser.login("bob")
    for path in ("/work", "/clear-session"):
        answer = browser.post(path, "_sid=42")
        assert answer.status == 409
        assert "secret" not in answer.text
    del browser.cookies["__Host-sg"]
    assert browser.login("ana").documents("42") == ["secret"]


def test_signature_that_a_short_policy_would_forget_is_not_taken(stage: BuildStage) -> None:
    """The program learns that its policy is at fault; the client only that nothing was done."""
    short = SessionPolicy(idle_timeout=timedelta(minutes=2), touch_interval=timedelta(0))
    made = stage(SIGNED, guard_policy={"default": SessionPolicy(), "external": SessionPolicy(), "*": short})
    assert made.browser().post("/new-session", link(made)).status == 500
    assert made.back.active() == []
    missing = stage(SIGNED, guard_policy={"default": SessionPolicy(), "external": SessionPolicy()})
    assert missing.browser().post("/new-session", link(missing)).status == 500
    none = stage(Claim(), guard_policy={"default": SessionPolicy()})
    assert none.browser().post("/new-session", f"_sid={A}").status == 500


def test_limit_of_the_policy_does_not_count_signatures_of_others(
    stage: BuildStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However alike the numbers are that are used once: each of them stands for itself."""
    made = stage(SIGNED, guard_policy=SessionPolicy(max_active=1))
    for number in range(3):
        alike = link(made, f"n{number}", f"owner{number}", random_bytes=lambda size, n=number: bytes([n]).rjust(size))
        assert made.browser().get("/work", alike).status == 200


# Logout


@pytest.mark.parametrize("policy", [SIGNED, Claim()])
def test_logout_unbinds_the_browser(stage: BuildStage, policy: Any) -> None:
    """Whoever sits down next gets none of the sessions, with or without a name of his own."""
    made = stage(policy, may_debug=lambda request: True)
    browser = made.browser().login("ana")
    for sid in (A, B):
        browser.post("/new-session", link(made, sid) if policy is SIGNED else f"_sid={sid}")
        browser.add(sid, "secret")
    left = dict(browser.cookies)
    assert browser.post("/logout").status == 200
    assert browser.cookies == {}
    assert len(made.back.active()) == 2
    # Were the bindings still there, as after a logout that the browser never heard of:
    browser.cookies.update({name: value for name, value in left.items() if "sgx" in name})
    browser.login("bob")
    for method, path in (("GET", "/work"), ("POST", "/clear-session"), ("POST", "/new-session")):
        answer = browser.send(method, path, f"_sid={A}")
        assert (answer.status, "secret" in answer.text) == (409, False)
    assert browser.get("/debug-sessions").json["total"] == 0
    assert len(made.back.active()) == 2
    del browser.cookies["__Host-sg"]
    assert browser.login("ana").documents(A) == ["secret"]


@pytest.mark.parametrize("policy", [SIGNED, Claim()])
def test_login_over_somebody_else_unbinds_the_browser(stage: BuildStage, policy: Any) -> None:
    """As his logout would have, be it that he never went on with a session from before he had a name."""
    made = stage(policy)
    browser = made.browser()
    browser.post("/new-session", link(made, A) if policy is SIGNED else f"_sid={A}")
    browser.add(A, "secret")
    browser.login("ana")
    assert len(browser.cookies) == 2
    browser.login("bob")
    assert list(browser.cookies) == ["__Host-sg"]
    answer = browser.get("/work", f"_sid={A}")
    assert (answer.status, "secret" in answer.text) == (404 if policy is SIGNED else 409, False)
    assert len(made.back.active()) == 1


def test_leaving_unbinds_within_its_request() -> None:
    """What the request is bound to, and what it has just been bound to, is lost to the rest of it and afterwards."""
    with SessionGuard.open("memory://", sweep_interval=None) as guard:
        rules = VisitRules(guard=guard, transport=CookieSettings(), external=ExternalIds(policy=Claim()))

        def visiting(sid: str, cookies: bytes = b"") -> tuple[Visit, Callable[[], ExternalFlows]]:
            visit = Visit(rules, [cookies])
            carried = Carried(query=f"_sid={sid}".encode())
            request = NamingRequest(method="POST", carried=carried, cookie_headers=(cookies,))
            return visit, lambda: external_of(visit.flows, lambda: request)

        visit, external = visiting(A)
        visit.run(external().new_session())
        binding = dict(visit.private([]))["Set-Cookie"].partition(";")[0]
        visit.logout()
        assert binding.partition("=")[2] not in str(visit.private([]))
        visit, external = visiting(A, binding.encode())
        assert visit.run(external().session()) is not None
        visit.login("ana")
        assert visit.run(external().session()) is not None
        visit.login("bob")
        with pytest.raises(ExternalIdClaimedError):
            visit.run(external().session())
        assert f"{binding.partition('=')[0]}=;" in str(visit.private([]))
        visit, external = visiting(A, binding.encode())
        visit.logout()
        with pytest.raises(ExternalIdClaimedError):
            visit.run(external().session())


# Claim


def test_session_claimed_without_a_name_goes_on_after_the_login(stage: BuildStage) -> None:
    """Nobody else has had it; what was begun is not lost."""
    made = stage(Claim())
    browser = made.browser()
    browser.opened(f"_sid={A}")
    browser.add(A, "report")
    assert browser.login("ana").documents(A) == ["report"]


def test_session_claimed_without_a_name_is_the_first_ones_who_goes_on_with_it(stage: BuildStage) -> None:
    """Her own session expires in that browser without any logout: who logs in next is told, and shares nothing."""
    made = stage(Claim(), may_debug=lambda request: True)
    browser = made.browser()
    browser.opened(f"_sid={A}")
    browser.login("ana").add(A, "secret")
    made.back.store.asked()
    assert browser.documents(A) == ["secret"]
    assert "save" not in made.back.store.asked()
    del browser.cookies["__Host-sg"]
    for path in ("/work", "/clear-session", "/new-session"):
        answer = browser.login("bob").post(path, f"_sid={A}")
        assert (answer.status, "secret" in answer.text) == (409, False)
        del browser.cookies["__Host-sg"]
    assert browser.login("ana").documents(A) == ["secret"]
    assert browser.get("/debug-sessions", f"_sid={A}").json["workflow"]["fields"] == ["documents"]


def test_view_that_sets_all_data_anew_leaves_whose_the_session_is(stage: BuildStage) -> None:
    """It neither sees who claimed it nor takes that away."""
    made = stage(Claim())
    browser = made.browser().login("ana")
    browser.opened(f"_sid={A}")
    (session,) = made.back.active()
    assert made.back.guard.modify(session, lambda data: {"documents": [*data, "secret"]}).data == {
        "documents": ["secret"]
    }
    del browser.cookies["__Host-sg"]
    assert browser.login("bob").get("/work", f"_sid={A}").status == 409
    del browser.cookies["__Host-sg"]
    assert browser.login("ana").documents(A) == ["secret"]


def test_of_two_who_go_on_at_once_with_a_claimed_session_one_has_it(stage: BuildStage) -> None:
    """Whoever is written down first; what a view stores at that instant hinders nobody."""
    made = stage(Claim())
    browser = made.browser()
    browser.opened(f"_sid={A}")
    browser.login("ana")
    (session,) = made.back.active()
    passing, guard = made.back.store.before, made.back.guard
    others: list[Any] = [{CLAIMANT: fingerprint("bob")}, {"documents": ["report"]}]

    def between(verb: str) -> None:
        if verb == "save" and others:
            made.back.store.before = passing
            guard.save(session, others.pop())
            made.back.store.before = between

    made.back.store.before = between
    assert browser.get("/work", f"_sid={A}").status == 409
    del browser.cookies["__Host-sg"]
    assert browser.login("bob").documents(A) == ["report"]


def test_claimed_id_is_the_first_browsers(stage: BuildStage) -> None:
    """It goes on with it, request after request."""
    made = stage(Claim(), may_debug=lambda request: True)
    browser = made.browser()
    assert browser.opened(f"_sid={A}") == A
    browser.add(A, "report")
    assert browser.documents(A) == ["report"]
    sid = browser.opened()
    browser.add(sid, "other")
    assert browser.documents(sid) == ["other"]
    shown = browser.get("/debug-sessions", f"_sid={A}").json
    assert shown["total"] == 2
    assert shown["current_session"]["session_id"] == A
    assert {session["session_id"] for session in shown["sessions"]} == {A, sid}


@pytest.mark.parametrize("path", ["/new-session", "/work", "/clear-session"])
def test_t48_claimed_id_is_nobody_elses(stage: BuildStage, path: str) -> None:
    """An attacker who claims first is found out: the victim is told, shares nothing, and loses nothing."""
    made = stage(Claim(), may_debug=lambda request: True)
    attacker, victim = made.browser(), made.browser()
    attacker.opened(f"_sid={A}")
    attacker.add(A, "bait")
    answer = victim.post(path, f"_sid={A}")
    assert answer.status == 409
    assert "bait" not in answer.text
    assert victim.cookies == {}
    assert [event.reason for event in made.back.told(ExternalIdRejected)] == ["claimed"]
    assert victim.get("/debug-sessions").json["total"] == 0
    assert attacker.documents(A) == ["bait"]


def test_t48_of_two_who_claim_at_once_one_has_it(stage: BuildStage, sg_profile: Profile, tmp_path: Any) -> None:
    """The other is told, and gets no cookie."""
    made = stage(Claim(), url=f"sqlite:///{tmp_path}/sessions.db")
    for number in range(sg_profile.rounds):
        browsers = [made.browser() for _ in range(4)]
        sid = f"{A}-{number}"
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda browser, sid=sid: browser.post("/new-session", f"_sid={sid}"), browsers))
        assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
        assert [len(browser.cookies) for browser, answer in zip(browsers, answers, strict=True)] == [
            int(answer.status == 201) for answer in answers
        ]


def test_t48_clean_slate_never_ends_the_session_of_another(stage: BuildStage) -> None:
    """Cleared in one tab and claimed by somebody else meanwhile: the other tab gets 409, and he keeps his."""
    made = stage(Claim())
    mine = made.browser()
    mine.opened(f"_sid={A}")
    asked, guard = made.back.store.before, made.back.guard
    his: list[Session] = []

    def between(verb: str) -> None:
        if verb == "end":
            made.back.store.before = asked
            (session,) = made.back.active()
            guard.end(session)
            his.append(guard.get_or_create(session.owner, scope="external", external_id=A))

    made.back.store.before = between
    assert mine.post("/new-session", f"_sid={A}").status == 409
    assert [session.id for session in made.back.active()] == [his[0].id]


def test_unclaimed_id_is_unknown_until_it_is_claimed_by_post(stage: BuildStage) -> None:
    """No other route and no other method claims."""
    made = stage(Claim())
    browser = made.browser()
    for method, path in (("GET", "/work"), ("POST", "/work"), ("POST", "/clear-session")):
        assert browser.send(method, path, f"_sid={A}").status == (200 if path == "/clear-session" else 404)
    assert made.back.active() == []
    assert browser.get("/new-session", f"_sid={A}").status in (404, 405)


def test_claim_refuses_ids_that_can_be_guessed(stage: BuildStage) -> None:
    """On every route, before anything is looked up."""
    made = stage(Claim())
    for path in ("/new-session", "/work", "/clear-session"):
        assert made.browser().post(path, "_sid=42").status == 400
    assert made.back.store.asked() == []


def test_cleared_claim_is_free_again(stage: BuildStage) -> None:
    """For anybody, and with nothing in it; the binding is gone from the browser."""
    made = stage(Claim())
    first, second = made.browser(), made.browser()
    first.opened(f"_sid={A}")
    first.add(A, "secret")
    assert first.post("/clear-session", f"_sid={A}").json["removed"]["files"] == 1
    assert first.cookies == {}
    second.opened(f"_sid={A}")
    assert second.documents(A) == []
    assert first.get("/work", f"_sid={A}").status == 409


def test_t44_binding_cookie_of_another_id_is_refused(stage: BuildStage) -> None:
    """A cookie that was planted under the name of another id leads to neither session."""
    made = stage(Claim())
    browser = made.browser()
    browser.opened(f"_sid={A}")
    (first,) = browser.cookies
    browser.opened(f"_sid={B}")
    (second,) = browser.cookies.keys() - {first}
    browser.cookies[first] = browser.cookies[second]
    assert browser.get("/work", f"_sid={A}").status == 409
    assert "mismatch" in {event.reason for event in made.back.told(ExternalIdRejected)}


def test_visitors_own_token_binds_to_nothing(stage: BuildStage) -> None:
    """Planted as a binding, it is of another scope."""
    made = stage(Claim())
    browser = made.browser()
    browser.opened(f"_sid={A}")
    (name,) = browser.cookies
    other = made.browser().login("ana")
    (other.cookies[name],) = other.cookies.values()
    assert other.get("/work", f"_sid={A}").status == 409


def test_browser_forgets_sessions_that_are_over_and_holds_only_so_many(stage: BuildStage) -> None:
    """Requests with endless cookies are refused by servers, and the visitor could not get out of that."""
    made = stage(Claim())
    browser = made.browser()
    sids = [browser.opened() for _ in range(MOST)]
    assert browser.post("/new-session").status == 403
    (over,) = (session for session in made.back.active() if session.id == sids[0])
    made.back.guard.end(over)
    assert browser.post("/new-session").status == 201
    assert len(browser.cookies) == MOST
    assert browser.documents(sids[1]) == []


# Bearer


def test_bearer_gives_the_session_to_whoever_has_the_id(stage: BuildStage) -> None:
    """That is what was accepted; responses keep the id from other sites, and each use is told."""
    made = stage(BEARER)
    made.browser().opened(f"_sid={A}")
    made.browser().add(A, "report")
    answer = made.browser().get("/work", f"_sid={A}")
    assert answer.json["documents"] == ["report"]
    assert answer.all("Referrer-Policy") == ["no-referrer"]
    assert answer.all("Cache-Control") == ["private, no-store"]
    assert {event.policy for event in made.back.told(ExternalIdAccepted)} == {"bearer"}
    assert made.browser().post("/work", "_sid=42").status == 400
    assert made.browser().get("/work", f"_sid={B}").status == 404


def test_bearer_session_is_soon_over(stage: BuildStage) -> None:
    """However busy it is kept."""
    made = stage(BEARER)
    sid = made.browser().opened()
    for _ in range(2):
        made.back.clock.advance(timedelta(minutes=7))
        assert made.browser().documents(sid) == []
    made.back.clock.advance(timedelta(minutes=1))
    assert made.browser().get("/work", f"_sid={sid}").status == 404
    assert made.back.active() == []


def test_bearer_reaches_no_session_of_another_policy(stage: BuildStage) -> None:
    """Ids of the server are in logs."""
    made = stage(BEARER)
    theirs = made.back.guard.create("ana", scope="external")
    assert made.browser().get("/work", f"_sid={theirs.id}").status == 404


@pytest.mark.parametrize("policy", [SIGNED, Claim(), BEARER])
def test_t36_names_are_in_no_event_and_no_log(stage: BuildStage, policy: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A fingerprint stands for them; under the weakest policy they are secrets."""
    made = stage(policy)
    for path in ("/new-session", "/work", "/clear-session"):
        made.browser().post(path, f"_sid={A}")
        made.browser().post(path, f"_sid={A}&_sig=x")
    rejected = made.back.told(ExternalIdRejected)
    assert A not in "".join(record.getMessage() for record in caplog.records) + repr(rejected)
