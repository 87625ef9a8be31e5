"""Tokens, ids and the key ring: their form, where their bits come from, what is refused."""

import hashlib
import itertools
import os
import random
import string
import time
import uuid
from typing import Any

import pytest

from sessionguard.core.tokens import KeyRing, Mint, hash_token, is_anonymous, parse_token, shard_of, shard_tag
from sessionguard.errors import ConfigurationError
from sessionguard.testing import Profile, in_children
from tests.core.making import counted_bytes

DEPLOYMENT = "d" * 32
KEY_ONE = "Qm5zH0yT8vKd2LwXrP6aJ3uE9cNfGb1s"
KEY_TWO = "uV7nW4kZq1RtY8eXo5iM2hDj6BpLa0Cg"
KEY_THREE = "e3FhT6gYb9KsN2mQx5VwZ8rJd1LcPu4A"
ALPHABET = string.ascii_letters + string.digits + "-_"


def mint(keys: KeyRing | None = None) -> Mint:
    """Give a mint that draws real random bytes."""
    return Mint(os.urandom, keys)


def test_token_has_its_documented_form() -> None:
    """`sg1_`, the key id, `_`, two digits of shard tag, 43 characters of base64url."""
    minted = mint().new(DEPLOYMENT, "ada")
    prefix, key_id, rest = minted.token.split("_", 2)
    assert (prefix, key_id, rest[:2]) == ("sg1", "0", shard_tag(DEPLOYMENT, "ada"))
    assert len(rest) == 45
    assert set(rest[2:]) <= set(ALPHABET)
    assert parse_token(minted.token) == "0"


def test_session_id_is_hexadecimal_and_shares_nothing_secret() -> None:
    """The public handle is the shard tag and 32 digits, drawn from other bytes than the token."""
    minted = Mint(lambda length: bytes(range(length))).new(DEPLOYMENT, "ada")
    assert minted.session_id == shard_tag(DEPLOYMENT, "ada") + bytes(range(16)).hex()
    assert bytes(range(16)) not in hash_token(minted.token, None)
    assert minted.session_id not in minted.token


def test_t28_every_random_bit_is_in_the_token() -> None:
    """256 of the drawn bits reach the token: no two draws that differ in one bit give the same one."""
    drawn = bytes(48)
    tokens = {Mint(lambda length: drawn).new(DEPLOYMENT, "ada").token}
    for bit in range(16 * 8, 48 * 8):
        flipped = (int.from_bytes(drawn, "big") ^ 1 << (48 * 8 - 1 - bit)).to_bytes(48, "big")
        tokens.add(Mint(lambda length, flipped=flipped: flipped).new(DEPLOYMENT, "ada").token)  # type: ignore[misc]
    assert len(tokens) == 256 + 1


def test_t28_tokens_and_ids_are_unique(sg_profile: Profile) -> None:
    """However many are minted, none comes twice."""
    amount = 1_000_000 if sg_profile.name == "deep" else 50_000
    maker = mint()
    tokens, ids = set(), set()
    for _ in range(amount):
        minted = maker.new(DEPLOYMENT, "ada")
        tokens.add(minted.token_hash)
        ids.add(minted.session_id)
    assert len(tokens) == len(ids) == amount


@pytest.mark.processes
def test_t28_forked_workers_mint_different_tokens(sg_profile: Profile) -> None:
    """Workers forked after the mint was made and used share nothing that would make them draw alike."""
    maker = mint()
    maker.new(DEPLOYMENT, "ada")
    workers, each = 8, 500
    minted = in_children(workers, lambda number: [maker.new(DEPLOYMENT, "ada").token for _ in range(each)])
    tokens = [token for some in minted for token in some]
    assert len(set(tokens)) == workers * each


def test_t28_nothing_predictable_is_asked_while_minting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `random` nor `uuid` nor the time has a part in a token, an id or an owner without a name."""

    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something predictable was asked")

    for module, names in (
        (random, ("random", "randbytes", "getrandbits", "randrange", "randint", "choice", "choices")),
        (uuid, ("uuid1", "uuid3", "uuid4", "uuid5")),
        (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbidden)
    maker = mint(KeyRing({"k1": KEY_ONE}, current="k1"))
    maker.new(DEPLOYMENT, "ada")
    maker.anonymous_owner()
    maker.operation_id()


def test_stored_hash_is_not_the_token() -> None:
    """What a store keeps cannot be turned back: the shard, and SHA-256 without keys or an HMAC that differs by key."""
    token = mint().new(DEPLOYMENT, "ada").token
    hashes = {hash_token(token, None), hash_token(token, KEY_ONE.encode()), hash_token(token, KEY_TWO.encode())}
    assert len(hashes) == 3
    assert all(len(each) == 33 and token.encode() not in each for each in hashes)
    assert {shard_of(each) for each in hashes} == {shard_tag(DEPLOYMENT, "ada")}


def test_the_stored_hash_stays_what_earlier_releases_stored() -> None:
    """One byte for the shard and the SHA-256 of the token, whatever was hashed before: tokens outlive upgrades."""
    for shard, digit in itertools.product(("00", "a7", "ff"), "xyz"):
        token = f"sg1_0_{shard}{digit * 43}"
        assert hash_token(token, None) == bytes.fromhex(shard) + hashlib.sha256(token.encode()).digest()


def test_a_renewed_token_stays_in_the_shard_of_its_session() -> None:
    """A rotated token leads to where its session is, whoever owns that by then."""
    maker = mint()
    session_id = maker.new(DEPLOYMENT, "ada").session_id
    renewed = maker.renewed(session_id)
    assert renewed.session_id == session_id
    assert shard_of(renewed.token_hash) == shard_of(session_id) == shard_tag(DEPLOYMENT, "ada")
    assert maker.hash_of(renewed.token) == renewed.token_hash
    assert renewed.token != maker.renewed(session_id).token


def test_t30_every_flipped_bit_leads_elsewhere() -> None:
    """No token that differs in one bit has the hash of the right one; most are not even well-formed."""
    maker = mint()
    right = maker.new(DEPLOYMENT, "ada")
    encoded = right.token.encode()
    for bit in range(len(encoded) * 8):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        assert maker.hash_of(flipped.decode("latin-1")) != right.token_hash


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token.upper(),
        lambda token: token.replace("sg1_", "sg2_"),
        lambda token: token.replace("sg1_0_", "sg1__"),
        lambda token: token.replace("sg1_0_", "sg1_other_"),
        lambda token: token[:-1] + "é",
        lambda token: token[:-1] + "\N{FULLWIDTH LATIN CAPITAL LETTER A}",
        lambda token: token[:-1] + "\ud800",
        lambda token: token[:-1] + "=",
        lambda token: token.encode(),
        lambda token: [token],
        lambda token: {"token": token, "alg": "none"},
        lambda token: token * 20_000,
        lambda token: "A" * 1_000_000,
        lambda token: "",
        lambda token: None,
        lambda token: 0,
        lambda token: True,
    ],
)
def test_t30_whatever_is_not_a_token_has_no_hash(spoil: Any) -> None:
    """Anything malformed gives None: no exception, no second decoder."""
    maker = mint()
    assert maker.hash_of(spoil(maker.new(DEPLOYMENT, "ada").token)) is None


@pytest.mark.timing
def test_t30_long_input_costs_no_more_than_short() -> None:
    """A megabyte is refused by its length, in the time that a wrong token of the right length takes."""
    maker = mint()

    def fastest(token: str) -> float:
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(200):
                maker.hash_of(token)
            best = min(best, time.perf_counter() - started)
        return best

    assert fastest("sg1_0_" + "a" * 1_000_000) < 10 * fastest("sg1_0_" + "a" * 44 + "!")


def test_t31_newest_key_signs_and_former_ones_are_accepted() -> None:
    """Through k1, k2, k3 each token names the key that was current, and lives until that key is taken out."""
    first = mint(KeyRing({"k1": KEY_ONE}, current="k1")).new(DEPLOYMENT, "ada")
    both = mint(KeyRing({"k1": KEY_ONE, "k2": KEY_TWO}, current="k2"))
    second = both.new(DEPLOYMENT, "ada")
    last = mint(KeyRing({"k2": KEY_TWO, "k3": KEY_THREE}, current="k3"))
    assert [parse_token(minted.token) for minted in (first, second, last.new(DEPLOYMENT, "ada"))] == ["k1", "k2", "k3"]
    assert both.hash_of(first.token) == first.token_hash
    assert last.hash_of(first.token) is None
    assert last.hash_of(second.token) == second.token_hash


def test_t31_keyed_and_keyless_tokens_are_not_mistaken_for_each_other() -> None:
    """A ring accepts no token without a key, and no ring accepts none with one."""
    keyless, keyed = mint(), mint(KeyRing({"k1": KEY_ONE}, current="k1"))
    assert keyed.hash_of(keyless.new(DEPLOYMENT, "ada").token) is None
    assert keyless.hash_of(keyed.new(DEPLOYMENT, "ada").token) is None


@pytest.mark.parametrize(
    "keys",
    [
        {},
        None,
        KEY_ONE,
        [KEY_ONE],
        {"k1": ""},
        {"k1": "short"},
        {"k1": KEY_ONE[:31]},
        {"k1": "a" * 64},
        {"k1": "abcabcabc" * 8},
        {"k1": "changeme" + KEY_ONE},
        {"k1": "my-Secret-" + KEY_ONE},
        {"k1": [KEY_ONE]},
        {"k1": bytearray(KEY_ONE.encode())},
        {"k1": None},
        {"k1": KEY_ONE, "k2": KEY_ONE},
        {"0": KEY_ONE},
        {"K1": KEY_ONE},
        {"": KEY_ONE},
        {"k_1": KEY_ONE},
        {"k" * 17: KEY_ONE},
        {1: KEY_ONE},
    ],
)
def test_t32_weak_or_misshapen_keys_are_refused(keys: Any) -> None:
    """Missing, short, repeated, guessable or wrongly typed keys never become a ring, and the message shows none."""
    with pytest.raises(ConfigurationError) as caught:
        KeyRing(keys, current="k1")
    assert KEY_ONE not in str(caught.value)


@pytest.mark.parametrize("current", ["k2", "", None])
def test_t32_current_key_must_be_in_the_ring(current: Any) -> None:
    """A ring signs with a key it has."""
    with pytest.raises(ConfigurationError, match="KeyRing current"):
        KeyRing({"k1": KEY_ONE}, current=current)


def test_t36_neither_ring_nor_mint_shows_a_secret() -> None:
    """Their reprs name key ids at most."""
    ring = KeyRing({"k1": KEY_ONE}, current="k1")
    maker = mint(ring)
    minted = maker.new(DEPLOYMENT, "ada")
    shown = repr(ring) + repr(maker) + repr(minted) + str(minted)
    assert KEY_ONE not in shown
    assert minted.token not in shown
    assert "k1" in repr(ring)


def test_ring_cannot_be_changed_afterwards() -> None:
    """A ring is a value: what it was checked for stays true."""
    keys: dict[str, Any] = {"k1": KEY_ONE}
    ring = KeyRing(keys, current="k1")
    keys["k2"] = "weak"
    assert list(ring.keys) == ["k1"]
    with pytest.raises(TypeError):
        ring.keys["k2"] = b"weak"  # type: ignore[index]


def test_anonymous_owners_are_recognised_and_each_is_its_own() -> None:
    """An owner without a name is like no other, and no ordinary owner is taken for one."""
    maker = mint()
    owners = {maker.anonymous_owner() for _ in range(100)}
    assert len(owners) == 100
    assert all(is_anonymous(owner) for owner in owners)
    assert not any(is_anonymous(owner) for owner in ("ada", "anonymous", "anonymous-" + "0" * 31, "anonymous-x"))


def test_shard_tag_follows_from_owner_and_deployment_alone() -> None:
    """All sessions of one owner share it; another deployment deals owners out differently."""
    tags = [shard_tag(DEPLOYMENT, f"owner-{number}") for number in range(200)]
    assert len(set(tags)) > 50
    assert tags[0] == shard_tag(DEPLOYMENT, "owner-0")
    assert tags != [shard_tag("e" * 32, f"owner-{number}") for number in range(200)]


def test_operation_ids_are_drawn_anew() -> None:
    """Each is 16 hexadecimal digits of its own."""
    maker = Mint(counted_bytes())
    assert [maker.operation_id() for _ in range(2)] == [f"{number:016x}" for number in range(1, 3)]
