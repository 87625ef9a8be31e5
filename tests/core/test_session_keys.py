"""Tokens in the form of a framework's session key: 32 lower-case letters and digits, found as every token is."""

import hashlib
import os
import re
from typing import Any

import pytest

from sessionguard.core.arguments import valid_text
from sessionguard.core.tokens import KeyRing, Mint, hash_token, parse_token, shard_of, shard_tag
from sessionguard.errors import ConfigurationError, InvalidArgumentError
from sessionguard.testing import Profile, in_children

DEPLOYMENT = "d" * 32
KEYS = {"k1": "Qm5zH0yT8vKd2LwXrP6aJ3uE9cNfGb1s", "k2": "uV7nW4kZq1RtY8eXo5iM2hDj6BpLa0Cg"}
KEY = re.compile(r"[a-z0-9]{32}")


def mint(keys: KeyRing | None = None) -> Mint:
    """Give a mint of session keys that draws real random bytes."""
    return Mint(os.urandom, keys, "key")


def ring(*key_ids: str, current: str) -> KeyRing:
    """Give a ring with these of the keys."""
    return KeyRing({key_id: KEYS[key_id] for key_id in key_ids}, current=current)


def test_session_key_has_its_documented_form() -> None:
    """`sg`, the mark of the key id, the shard tag, 25 digits to the base of 36; the session id is another draw."""
    minted = mint().new(DEPLOYMENT, "ada")
    assert KEY.fullmatch(minted.token)
    assert minted.token[:2] == "sg"
    assert minted.token[5:7] == shard_tag(DEPLOYMENT, "ada") == minted.session_id[:2]
    assert minted.session_id[2:] not in minted.token
    assert len({mint().new(DEPLOYMENT, owner).token[:5] for owner in ("ada", "bea", "cyd")}) == 1


def test_the_stored_hash_of_a_session_key_stays_what_it_is() -> None:
    """One byte for the shard and the SHA-256 of the text: keys outlive upgrades, and so does the mark of a key id."""
    token = "sgabca7" + "0" * 25
    assert hash_token(token, None) == b"\xa7" + hashlib.sha256(token.encode()).digest()
    drawn = Mint(lambda length: bytes(range(length)), None, "key").new(DEPLOYMENT, "ada").token
    assert drawn == f"sgmg9{shard_tag(DEPLOYMENT, 'ada')}0y8qk00vbgh9t2gpn617kpz4v"
    assert int(drawn[7:], 36).to_bytes(16, "big") == bytes(range(16, 32))


def test_t28_every_random_bit_is_in_the_session_key() -> None:
    """128 of the drawn bits reach the key: no two draws that differ in one bit give the same one."""
    tokens = {Mint(bytes, None, "key").new(DEPLOYMENT, "ada").token}
    for bit in range(16 * 8, 32 * 8):
        flipped = (1 << (32 * 8 - 1 - bit)).to_bytes(32, "big")
        tokens.add(Mint(lambda length, flipped=flipped: flipped, None, "key").new(DEPLOYMENT, "ada").token)  # type: ignore[misc]
    assert len(tokens) == 128 + 1
    assert all(KEY.fullmatch(token) for token in tokens)


@pytest.mark.processes
def test_t28_session_keys_are_unique_in_all_workers(sg_profile: Profile) -> None:
    """However many are minted in forked workers, none comes twice."""
    maker = mint()
    each = 100_000 if sg_profile.name == "deep" else 1000
    minted = in_children(4, lambda number: [maker.new(DEPLOYMENT, "ada").token for _ in range(each)])
    assert len({token for some in minted for token in some}) == 4 * each


def test_t30_every_flipped_bit_of_a_session_key_leads_elsewhere() -> None:
    """No key that differs in one bit has the hash of the right one."""
    maker = mint()
    right = maker.new(DEPLOYMENT, "ada")
    for bit in range(32 * 8):
        flipped = bytearray(right.token.encode())
        flipped[bit // 8] ^= 1 << bit % 8
        assert maker.hash_of(flipped.decode("latin-1")) != right.token_hash


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1],
        lambda key: key + "a",
        lambda key: key + "\n",
        lambda key: " " + key,
        lambda key: key.upper(),
        lambda key: key[2:] + "sg",
        lambda key: "sg" + "!" * 3 + key[5:],
        lambda key: key[:5] + "zz" + key[7:],
        lambda key: key[:-1] + "\N{FULLWIDTH LATIN SMALL LETTER A}",
        lambda key: key[:-1] + "\u0131",
        lambda key: key.encode(),
        lambda key: [key],
        lambda key: key * 40_000,
        lambda key: "0123456789abcdef0123456789abcdef",
        lambda key: "z" * 32,
    ],
)
def test_t30_whatever_is_no_session_key_has_no_hash(spoil: Any) -> None:
    """Anything malformed gives None, hexadecimal digests of the same length among it."""
    maker = mint()
    assert maker.hash_of(spoil(maker.new(DEPLOYMENT, "ada").token)) is None


def test_t31_each_session_key_is_hashed_once_under_the_key_that_signed_it() -> None:
    """Its mark tells under which key of the ring; a key that is not in the ring any more opens nothing."""
    first, both, last = (mint(ring(*ids, current=ids[-1])) for ids in (("k1",), ("k1", "k2"), ("k2",)))
    one, two = first.new(DEPLOYMENT, "ada"), both.new(DEPLOYMENT, "ada")
    assert both.hash_of(one.token) == one.token_hash
    assert last.hash_of(two.token) == two.token_hash
    assert last.hash_of(one.token) is None
    assert mint().hash_of(one.token) is None
    assert first.hash_of(mint().new(DEPLOYMENT, "ada").token) is None


def test_both_forms_are_understood_whatever_is_minted() -> None:
    """A program that mints the other form, over the same store and keys, hands out tokens that are good here."""
    keys = ring("k1", "k2", current="k2")
    plain, framework = Mint(os.urandom, keys), mint(keys)
    for maker, reader in ((plain, framework), (framework, plain)):
        minted = maker.new(DEPLOYMENT, "ada")
        assert reader.hash_of(minted.token) == minted.token_hash
        assert shard_of(reader.renewed(minted.session_id).token_hash) == shard_of(minted.session_id)


def test_t32_key_ids_with_one_mark_are_refused_for_session_keys() -> None:
    """A ring in which session keys could not tell their key is refused by name; it does for the other form."""
    # Found by search: SHA-256 of both ends in the same three digits to the base of 36.
    keys = KeyRing({"a166": KEYS["k1"], "a368": KEYS["k2"]}, current="a166")
    with pytest.raises(ConfigurationError, match="a368"):
        mint(keys)
    assert Mint(os.urandom, keys).new(DEPLOYMENT, "ada").token.startswith("sg1_a166_")


@pytest.mark.parametrize("form", ["", "django", None, 32])
def test_unknown_forms_are_refused(form: Any) -> None:
    """Only the two forms exist."""
    with pytest.raises(ConfigurationError, match="token_form"):
        Mint(os.urandom, None, form)


def test_t36_a_session_key_names_nothing_and_is_not_shown() -> None:
    """Passed as an owner it is refused, and no error message has it; digests of the same length are fine owners."""
    key = mint().new(DEPLOYMENT, "ada").token
    assert parse_token(key) is not None
    with pytest.raises(InvalidArgumentError) as refused:
        valid_text("owner", key)
    assert key not in str(refused.value)
    assert key not in str(ConfigurationError("setting", f"sessionid={key}; x", "remedy"))
    assert valid_text("owner", hashlib.md5(b"ada").hexdigest())
