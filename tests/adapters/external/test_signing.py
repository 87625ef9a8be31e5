"""Signatures of external ids: what holds, and the many that do not."""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionguard.adapters.external import sign_external_id, signing
from sessionguard.adapters.external.signing import Vouched, vouched_by
from sessionguard.core.arguments import valid_text
from sessionguard.core.tokens import KeyRing
from sessionguard.errors import ConfigurationError, InvalidArgumentError

NOW = datetime(2030, 1, 1, tzinfo=UTC)
K1, K2, K3 = (
    "kq8Zr5vT1xW7yB3nM9pL2sD6fG4hJ0aC",
    "Uc4Xe7Rt1Yw9Qz3Mk6Nb8Vj2Ls5Pd0Hf",
    "oI3uY6tR9eW2qA5sD8fG1hJ4kL7zX0cV",
)
KEYS = KeyRing({"a": K1}, current="a")
ABOUT: dict[str, Any] = {"keys": KEYS, "audience": "app.example.org", "scope": "external"}


VISITOR = "anonymous-" + "0" * 32


def signature_of(external_id: str = "42", owner: str = "ana", **changes: Any) -> str:
    """Give a signature that holds, but for what is changed."""
    return sign_external_id(external_id, owner=owner, now=NOW, **{**ABOUT, **changes}).signature


def judged(signature: str, external_id: str = "42", **changes: Any) -> Vouched | str:
    """Give what the deployment makes of it."""
    return vouched_by(signature, external_id, **{"now": NOW, **ABOUT, **changes})


def test_signature_holds_for_what_was_signed() -> None:
    """It says whose the session is, until when it may be used, and what tells it from every other."""
    found = judged(signature_of(owner="Zoë|1"))
    assert isinstance(found, Vouched)
    assert (found.owner, found.key_id, found.expires_at) == ("Zoë|1", "a", NOW + timedelta(minutes=5))
    again = judged(signature_of(owner="Zoë|1"))
    assert isinstance(again, Vouched)
    assert again.nonce != found.nonce


def test_t30_flipped_bit_is_refused() -> None:
    """Whichever of them it is, in the signature or in the id; nothing raises."""
    signature = signature_of()
    for position in range(len(signature)):
        for bit in range(8):
            flipped = chr(ord(signature[position]) ^ (1 << bit))
            assert isinstance(judged(signature[:position] + flipped + signature[position + 1 :]), str), (position, bit)
    for other in ("43", "4", "422", "4\x72", ""):
        assert judged(signature, other) == "wrong signature"


def mutilated(signature: str) -> Iterator[str]:
    """Yield what is nearly the signature."""
    parts = signature.split(".")
    yield from ("", ".", ".....", signature[:-1], signature + "A", signature + ".", signature + "\n", signature + "=")
    yield from (signature * 1000, "é" + signature, signature.replace("sgx1", "sgx2"), "\ud800" + signature)
    for index in range(len(parts)):
        yield ".".join([*parts[:index], "", *parts[index + 1 :]])
        yield ".".join(parts[:index] + parts[index + 1 :])
    yield ".".join([*parts[:2], "9" * 12, *parts[3:]])
    yield ".".join([*parts[:2], "٣", *parts[3:]])
    yield ".".join([*parts[:4], parts[4] + "==", parts[5]])
    yield ".".join([parts[0], "none", *parts[2:5], ""])


def test_t30_mutilated_signature_is_refused() -> None:
    """Shorter, longer, in other spellings of the same bytes, without a MAC: none holds, and none raises."""
    for broken in mutilated(signature_of()):
        assert isinstance(judged(broken), str), broken[:80]


def test_t30_other_spelling_of_the_same_bytes_is_refused() -> None:
    """The last character of base64 has bits that mean nothing; they are looked at all the same."""
    signature = signature_of()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(signature[-1]) ^ 1]
    assert judged(signature[:-1] + twin) == "wrong signature"


def test_t31_keys_are_rotated() -> None:
    """New signatures are under the current key; older keys hold until they are taken out of the ring."""
    old = signature_of()
    both = KeyRing({"a": K1, "b": K2}, current="b")
    assert isinstance(judged(old, keys=both), Vouched)
    new = signature_of(keys=both)
    assert new.split(".")[1] == "b"
    assert isinstance(judged(new, keys=both), Vouched)
    assert judged(old, keys=KeyRing({"b": K2, "c": K3}, current="c")) == "wrong signature"
    assert judged(old, keys=KeyRing({"a": K2}, current="a")) == "wrong signature"


@pytest.mark.parametrize(
    "keys", [{}, {"a": ""}, {"a": "short"}, {"a": K1, "b": K1}, {"a": "changeme" * 5}, ["x" * 40], K1]
)
def test_t32_weak_keys_are_refused_at_the_start(keys: Any) -> None:
    """A key ring judges them; there is no other way to give keys."""
    with pytest.raises(ConfigurationError):
        KeyRing(keys, current="a")
    with pytest.raises(InvalidArgumentError):
        signature_of(keys=keys)


@pytest.mark.parametrize("changed", [{"audience": "other.example.org"}, {"scope": "uploads"}])
def test_t33_signature_for_another_place_is_refused(changed: dict[str, str]) -> None:
    """For another deployment or kind of session, under the same keys."""
    assert judged(signature_of(), **changed) == "wrong signature"


def test_t33_owner_cannot_be_exchanged() -> None:
    """The owner that is sent is the one that was signed."""
    parts = signature_of().split(".")
    parts[4] = urlsafe_b64encode(b"bob").decode().rstrip("=")
    assert judged(".".join(parts)) == "wrong signature"


def test_t34_fields_cannot_be_shifted_into_each_other() -> None:
    """What ends one field and begins the next is signed as well: each way to cut a text is another message."""
    texts = [("ab", "c"), ("a", "bc"), ("abc", "x"), ("a", "b"), ("aa", "b")]
    macs = {
        signature_of(owner=owner, audience=audience, random_bytes=bytes).rpartition(".")[2] for owner, audience in texts
    }
    assert len(macs) == len(texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("a", min_size=1, max_size=3), min_size=8, max_size=8))
def test_t34_no_two_messages_collide(words: list[str]) -> None:
    """Owner, audience, scope and id decide the MAC, and each by itself."""
    first, second = words[:4], words[4:]

    def mac(owner: str, audience: str, scope: str, external_id: str) -> str:
        signed = signature_of(external_id, owner, audience=audience, scope=scope, random_bytes=bytes)
        return signed.rpartition(".")[2]

    assert (mac(*first) == mac(*second)) == (first == second)


def test_t49_signature_is_good_until_it_expires() -> None:
    """At that instant it is not; nor is one that claims to be good for longer than anybody may sign."""
    signature = signature_of(valid_for=timedelta(minutes=1))
    edge = NOW + timedelta(minutes=1)
    assert isinstance(judged(signature, now=edge - timedelta(microseconds=1)), Vouched)
    assert judged(signature, now=edge) == "expired"
    early = NOW - timedelta(minutes=4, seconds=30)
    assert isinstance(judged(signature, now=early), Vouched)
    assert judged(signature, now=early - timedelta(seconds=1)) == "valid for too long"


@pytest.mark.parametrize(
    "arguments",
    [
        {"valid_for": timedelta(minutes=6)},
        {"valid_for": timedelta(0)},
        {"valid_for": 60},
        {"owner": ""},
        {"owner": None},
        {"owner": "undefined"},
        {"owner": VISITOR},
        {"audience": ""},
        {"scope": ""},
        {"external_id": ""},
        {"external_id": "a b"},
        {"external_id": "null"},
        {"external_id": "0" * 34},
        {"external_id": "sg1_0_ab" + "t" * 43},
    ],
)
def test_what_cannot_be_signed_is_refused(arguments: dict[str, Any]) -> None:
    """The integrator learns it when he signs, not his users when they come."""
    with pytest.raises(InvalidArgumentError) as caught:
        signature_of(**arguments)
    assert "ttttt" not in str(caught.value)


def test_signature_for_a_visitor_of_ours_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever made it: an integrator's user of that name would get what belongs to the visitor."""
    monkeypatch.setattr(signing, "valid_name", valid_text)
    assert judged(signature_of(owner=VISITOR)) == "owner of a visitor"


def test_signature_is_in_no_representation() -> None:
    """It admits to a session until it is used."""
    signed = sign_external_id("42", owner="ana", **ABOUT)
    assert signed.signature not in repr(signed)
    assert signed.query == f"_sid=42&_sig={signed.signature}"
