"""`load` and `get`: what a token reaches, what it never reaches, what is written meanwhile."""

import os
import time
from datetime import timedelta

import pytest

from sessionguard import KeyRing, SessionGuard
from sessionguard.core.events import Event, TokenRejected
from tests.guard.clock import START, Clock
from tests.guard.conftest import POLICY, OpenGuard
from tests.guard.watching import WatchedStore

IDLE = POLICY.idle_timeout
KEYS = {"k1": "Qm5zH0yT8vKd2LwXrP6aJ3uE9cNfGb1s", "k2": "uV7nW4kZq1RtY8eXo5iM2hDj6BpLa0Cg"}


def rejected(heard: list[Event]) -> list[str]:
    """Give the reasons for which tokens were rejected."""
    return [event.reason for event in heard if isinstance(event, TokenRejected)]


def test_load_gives_the_session_of_the_token(guard: SessionGuard) -> None:
    """The same session, without the token, which only the call that made it has."""
    created = guard.create("ada", data={"n": [1]})
    loaded = guard.load(created.token)
    assert loaded is not None
    assert (loaded.id, loaded.owner, loaded.token, loaded.is_new) == (created.id, "ada", None, False)
    assert dict(loaded.data) == {"n": [1]}


def test_load_is_one_question_and_writes_nothing(guard: SessionGuard, store: WatchedStore, clock: Clock) -> None:
    """A read is one round trip; until a touch is due it changes neither instants nor version."""
    created = guard.create("ada")
    store.forget()
    clock.advance(seconds=59)
    loaded = guard.load(created.token)
    assert store.verbs() == ["load"]
    assert loaded is not None
    assert (loaded.last_seen_at, loaded.expires_at, loaded.version) == (START, START + IDLE, 1)


def test_load_touches_when_due(guard: SessionGuard, clock: Clock) -> None:
    """From one touch interval on, a load extends the session, in the same question."""
    created = guard.create("ada")
    clock.advance(minutes=1)
    loaded = guard.load(created.token)
    assert loaded is not None
    assert loaded.last_seen_at == clock.now
    assert loaded.expires_at == clock.now + IDLE


def test_scope_is_held(guard: SessionGuard, heard: list[Event]) -> None:
    """A token of one scope is none in another; without a scope any is accepted."""
    session = guard.create("ada", scope="upload")
    assert guard.load(session.token, scope="default") is None
    assert guard.load(session.token, scope="upload") is not None
    assert guard.load(session.token) is not None
    assert rejected(heard) == ["foreign scope"]


def test_t33_foreign_scope_does_not_extend(guard: SessionGuard, clock: Clock) -> None:
    """Presenting a token where it is not valid keeps nothing alive."""
    session = guard.create("ada", scope="upload")
    clock.advance(minutes=5)
    assert guard.load(session.token, scope="default") is None
    found = guard.get(session.id)
    assert found is not None
    assert found.last_seen_at == START


@pytest.mark.parametrize(
    "later, loads", [(IDLE - timedelta(microseconds=1), True), (IDLE, False), (IDLE + timedelta(microseconds=1), False)]
)
def test_t23_idle_timeout_has_a_sharp_end(guard: SessionGuard, clock: Clock, later: timedelta, loads: bool) -> None:
    """At `expires_at` itself the session is over."""
    session = guard.create("ada")
    clock.advance(later)
    assert (guard.load(session.token) is not None) is loads


def test_unknown_expired_ended_and_malformed_look_the_same(
    guard: SessionGuard, heard: list[Event], clock: Clock
) -> None:
    """The caller gets None for each; why is for the log."""
    ended, expired, foreign = guard.create("ada"), guard.create("ada"), guard.create("ada")
    guard.end(ended)
    unknown = str(foreign.token)[:-4] + "AAAA"
    clock.advance(IDLE)
    assert [guard.load(token) for token in (ended.token, expired.token, unknown, "nonsense")] == [None] * 4
    assert rejected(heard) == ["ended", "expired", "unknown", "malformed"]
    assert [event.session_id for event in heard if isinstance(event, TokenRejected)] == [
        ended.id,
        expired.id,
        None,
        None,
    ]


def test_t30_no_altered_token_reaches_a_session(guard: SessionGuard) -> None:
    """Every single flipped bit leads to no session, without an exception."""
    session = guard.create("ada")
    encoded = str(session.token).encode()
    for bit in range(len(encoded) * 8):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        assert guard.load(flipped.decode("latin-1")) is None
    assert guard.load(session.token) is not None


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        " ",
        "None",
        "null",
        "undefined",
        0,
        True,
        b"bytes",
        [],
        {"alg": "none"},
        "é",
        "\ud800",
        "\0",
        "x" * 10**6,
    ],
    ids=lambda token: ascii(token)[:12],
)
def test_t30_malformed_token_is_no_question(guard: SessionGuard, store: WatchedStore, token: object) -> None:
    """What cannot be a token gives None and no store is asked."""
    guard.create("ada")
    store.forget()
    assert guard.load(token) is None
    assert store.asked == []


def test_t30_token_of_another_key_is_no_question(open_guard: OpenGuard, store: WatchedStore) -> None:
    """A key id that is not in the ring is rejected before any store is asked."""
    keyed = open_guard(keys=KeyRing({"k1": KEYS["k1"]}, current="k1"))
    token = keyed.create("ada").token
    keyless = open_guard()
    keyless.create("bob")
    store.forget()
    assert keyless.load(token) is None
    assert store.asked == []
    assert keyed.load(token) is not None


def test_t31_keys_rotate_under_living_sessions(open_guard: OpenGuard) -> None:
    """Sessions of a former key live on until the key is taken out; new ones are under the current key."""
    first = open_guard(keys=KeyRing({"k1": KEYS["k1"]}, current="k1")).create("ada")
    both = open_guard(keys=KeyRing(KEYS, current="k2"))
    second = both.create("ada")
    assert str(second.token).startswith("sg1_k2_")
    assert both.load(first.token) is not None
    last = open_guard(keys=KeyRing({"k2": KEYS["k2"]}, current="k2"))
    assert last.load(first.token) is None
    assert last.load(second.token) is not None


def test_t34_same_name_of_a_key_does_not_open_its_tokens(open_guard: OpenGuard) -> None:
    """What counts is the key, not what it is called."""
    token = open_guard(keys=KeyRing({"k1": KEYS["k1"]}, current="k1")).create("ada").token
    assert open_guard(keys=KeyRing({"k1": KEYS["k2"]}, current="k1")).load(token) is None


def test_t35_unknown_and_wrong_take_the_same_path(guard: SessionGuard, store: WatchedStore) -> None:
    """A token that never was and one that differs from a living one in its last character cause the same question."""
    session = guard.create("ada")
    token = str(session.token)
    store.forget()
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-43] + "A" * 43):
        assert guard.load(wrong) is None
    assert store.verbs() == ["load", "load"]


@pytest.mark.timing
def test_t35_unknown_and_wrong_take_about_the_same_time(guard: SessionGuard) -> None:
    """A smoke test: nobody can tell by the time how much of a token is right."""
    token = str(guard.create("ada").token)
    near, far = token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-43] + "A" * 43

    def fastest(candidate: str) -> float:
        best = float("inf")
        for _ in range(60):
            started = time.perf_counter()
            guard.load(candidate)
            best = min(best, time.perf_counter() - started)
        return best

    fastest(near)
    assert 0.4 < fastest(near) / fastest(far) < 2.5


def test_get_shows_active_and_ended_sessions(guard: SessionGuard, clock: Clock) -> None:
    """For trusted callers: history too, and an expired session reads as ended before anyone wrote that down."""
    ended, expired = guard.create("ada"), guard.create("ada")
    guard.end(ended, "escalated")
    assert [session and session.reason for session in map(guard.get, (ended.id, expired.id))] == ["escalated", None]
    clock.advance(IDLE)
    found = guard.get(expired.id)
    assert found is not None
    assert (found.status, found.reason, found.ended_at) == ("ended", "expired", START + IDLE)


def test_get_touches_nothing(guard: SessionGuard, clock: Clock) -> None:
    """Looking at a session is not using it."""
    session = guard.create("ada")
    clock.advance(minutes=10)
    found = guard.get(session.id)
    assert found is not None
    assert found.expires_at == session.expires_at


@pytest.mark.parametrize("session_id", [None, "", " ", "None", 0, True, "../x", "0" * 33, b"0" * 34])
def test_t07_what_is_no_session_id_is_no_question(guard: SessionGuard, store: WatchedStore, session_id: object) -> None:
    """`get` gives None and no store is asked."""
    guard.create("ada")
    store.forget()
    assert guard.get(session_id) is None  # type: ignore[arg-type]
    assert store.asked == []


def test_get_of_an_unknown_id_is_none(guard: SessionGuard) -> None:
    """Absence is None."""
    assert guard.get("ab" * 17) is None


def test_session_id_is_no_token(guard: SessionGuard) -> None:
    """The public handle authorises nothing."""
    session = guard.create("ada")
    assert guard.load(session.id) is None
    assert guard.load(f"sg1_0_{session.id}") is None
    assert guard.load(f"sg1_0_{session.id[:2]}{session.id[2:]}{os.urandom(8).hex()[:11]}") is None


def test_data_of_a_session_is_its_own(guard: SessionGuard) -> None:
    """Changing what a session shows changes nothing that is stored, nor what another reader sees."""
    token = guard.create("ada", data={"list": [1]}).token
    first, second = guard.load(token), guard.load(token)
    assert first is not None
    assert second is not None
    first.data["list"].append(2)
    with pytest.raises(TypeError):
        first.data["new"] = 1  # type: ignore[index]
    third = guard.load(token)
    assert third is not None
    assert second.data["list"] == third.data["list"] == [1]
