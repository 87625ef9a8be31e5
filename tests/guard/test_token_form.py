"""Guards that mint session keys instead of tokens: the same sessions, the same calls, the same single question."""

import re
from datetime import timedelta

import pytest

from sessionguard import SessionPolicy
from sessionguard.core.tokens import KeyRing
from sessionguard.errors import ConfigurationError
from tests.guard.clock import Clock
from tests.guard.conftest import OpenGuard
from tests.guard.watching import WatchedStore

KEY = re.compile(r"[a-z0-9]{32}")
RING = {"k1": "Qm5zH0yT8vKd2LwXrP6aJ3uE9cNfGb1s", "k2": "uV7nW4kZq1RtY8eXo5iM2hDj6BpLa0Cg"}


def test_t31_a_session_key_is_found_with_one_question(open_guard: OpenGuard, store: WatchedStore) -> None:
    """Also with a ring of several keys, of which the text names none."""
    former = open_guard(keys=KeyRing({"k1": RING["k1"]}, current="k1"), token_form="key")
    guard = open_guard(keys=KeyRing(RING, current="k2"), token_form="key")
    old, new = str(former.create("ada").token), str(guard.create("bea").token)
    assert KEY.fullmatch(old)
    assert KEY.fullmatch(new)
    for key, owner in ((old, "ada"), (new, "bea")):
        store.forget()
        found = guard.load(key)
        assert found is not None
        assert found.owner == owner
        assert store.verbs() == ["load"]


def test_t22_a_session_key_rotates_with_its_grace(open_guard: OpenGuard, clock: Clock) -> None:
    """A key becomes another key in the shard of its session; the former one lives for the grace, but over no login."""
    policy = SessionPolicy(rotation_grace=timedelta(seconds=5))
    guard = open_guard(token_form="key", policy=policy)
    visitor = guard.create()
    renewed = guard.rotate(visitor)
    assert KEY.fullmatch(str(renewed.token))
    assert renewed.token != visitor.token
    assert guard.load(renewed.token) == guard.load(visitor.token)
    clock.advance(timedelta(seconds=5))
    assert guard.load(renewed.token) is not None
    assert guard.load(visitor.token) is None
    login = guard.rotate(renewed, owner="ada")
    assert guard.load(login.token) is not None
    assert guard.load(renewed.token) is None


def test_t30_unknown_session_keys_lead_to_nothing(open_guard: OpenGuard, store: WatchedStore) -> None:
    """A well-formed key that nobody was given is asked for once; a malformed one is never asked for."""
    guard = open_guard(token_form="key")
    key = str(guard.create("ada").token)
    store.forget()
    assert guard.load(key[:-1] + ("a" if key[-1] != "a" else "b")) is None
    assert store.verbs() == ["load"]
    store.forget()
    for malformed in (key.upper(), key[1:], "abcdefgh", "0123456789abcdef" * 2):
        assert guard.load(malformed) is None
    assert store.asked == []


def test_an_unknown_form_is_refused(open_guard: OpenGuard) -> None:
    """No guard is made that mints something else."""
    with pytest.raises(ConfigurationError, match="token_form"):
        open_guard(token_form="django")
