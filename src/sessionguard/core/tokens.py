"""Tokens and ids: how they are made, what they look like, how they are hashed.

A token is `sg1_` + key id + `_` + shard tag (2) + 43 random characters: 256 random bits in base64url.
A session id is the shard tag (2) + 32 hexadecimal digits: 128 random bits. The shard tag is a keyed hash of the
owner, so that a sharded store can keep everything of one owner together; it follows from the deployment
id, which never changes, and not from the token keys, which do. A session stays in its shard for life, whoever owns it.

Where a framework insists on keys of 32 lower-case letters and digits, as Django does, a token has the form of such a
key: `sg` + mark of the key id (3) + shard tag (2) + 25 digits to the base of 36: 128 random bits. The mark follows from
the key id alone, which is not in the text, so that one hash and one question to the store find the session as well. A
guard mints one form and understands both.

Only a hash of a token is ever stored, and in front of it one byte, the shard, so that whatever names a session
leads to it: plain SHA-256 without a key ring, which is safe because the input is uniformly random, or HMAC-SHA-256
under a named key.
"""

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, cast, get_args

from attrs import field, frozen

from sessionguard.errors import ConfigurationError

RandomBytes = Callable[[int], bytes]
TokenForm = Literal["token", "key"]
"""What is minted: `sg1_...`, or a key of 32 lower-case letters and digits."""

_TOKEN: Final = re.compile(
    r"sg1_(?P<id>[a-z0-9]{1,16})_[0-9a-f]{2}[A-Za-z0-9_-]{43}"
    r"|sg(?P<mark>[a-z0-9]{3})[0-9a-f]{2}[a-z0-9]{25}"
)
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_KEY_ID: Final = re.compile(r"[a-z0-9]{1,16}")
_KEYLESS: Final = "0"
_MAX_TOKEN_LENGTH: Final = 4 + 16 + 1 + 2 + 43
_KEY_LENGTH: Final = 32
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_MIN_KEY_BYTES: Final = 32
_MIN_DISTINCT_BYTES: Final = 10
_PLACEHOLDERS: Final = (b"changeme", b"change-me", b"secret", b"password", b"insecure", b"example", b"default", b"test")

_ANONYMOUS_OWNER: Final = re.compile(r"anonymous-[0-9a-f]{32}")

_SHARD_BYTES: Final = {f"{shard:02x}": bytes([shard]) for shard in range(256)}
# Copied for each token: a new one would have OpenSSL look for the algorithm first, which takes as long as the hashing.
_SHA256: Final = hashlib.sha256()


def _key_bytes(key_id: str, key: object) -> bytes:
    setting = f"KeyRing key {key_id!r}"
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes):
        raise ConfigurationError(setting, type(key).__name__, "give the key as bytes or text")
    if len(key) < _MIN_KEY_BYTES:
        raise ConfigurationError(
            setting, f"{len(key)} bytes", f"use at least {_MIN_KEY_BYTES} random bytes: secrets.token_urlsafe(32)"
        )
    if len(set(key)) < _MIN_DISTINCT_BYTES or any(word in key.lower() for word in _PLACEHOLDERS):
        raise ConfigurationError(
            setting, "(a placeholder)", "it can be guessed; make one with secrets.token_urlsafe(32)"
        )
    return key


def _checked_keys(keys: object) -> Mapping[str, bytes]:
    if not isinstance(keys, Mapping) or not keys:
        raise ConfigurationError("KeyRing keys", type(keys).__name__, "give a mapping from key id to key")
    for key_id in keys:
        if not isinstance(key_id, str) or _KEY_ID.fullmatch(key_id) is None or key_id == _KEYLESS:
            raise ConfigurationError("KeyRing key id", key_id, 'use 1 to 16 of a-z 0-9, other than "0"')
    checked = {key_id: _key_bytes(key_id, key) for key_id, key in keys.items()}
    if len(set(checked.values())) < len(checked):
        raise ConfigurationError("KeyRing keys", "(repeated)", "give every key id a key of its own")
    return MappingProxyType(checked)


@frozen(repr=False)
class KeyRing:
    """The secret keys under which token hashes are stored.

    New tokens use `current`; tokens of every other key in the ring stay valid until that key is taken
    out. Keys are text or bytes, at least 32 bytes, random. There is no default key.

    Raises:
        ConfigurationError: a key is missing, short, repeated or a known placeholder.
    """

    keys: Mapping[str, bytes] = field(converter=_checked_keys)
    current: str = field(kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.current not in self.keys:
            raise ConfigurationError("KeyRing current", self.current, f"name one of the keys: {', '.join(self.keys)}")

    def __repr__(self) -> str:
        return f"KeyRing(key ids: {', '.join(self.keys)}; current={self.current!r})"


def parse_token(token: object) -> str | None:
    """Give the key id of a well-formed token, or the mark that stands for it; None for anything else.

    The time it takes is bounded by the length of a token, however long the text is.
    """
    if not isinstance(token, str) or len(token) > _MAX_TOKEN_LENGTH:
        return None
    match = _TOKEN.fullmatch(token)
    return None if match is None else match["id"] or match["mark"]


def hash_token(token: str, key: bytes | None) -> bytes:
    """Give the 33 bytes by which a store finds the session of the well-formed `token`: its shard, then the hash."""
    shard = _SHARD_BYTES[token[-27:-25] if len(token) == _KEY_LENGTH else token[-45:-43]]
    if key is None:
        plain = _SHA256.copy()
        plain.update(token.encode("ascii"))
        return shard + plain.digest()
    return shard + hmac.digest(key, b"sessionguard token 1\0" + token.encode("ascii"), "sha256")


def shard_of(name: str | bytes) -> str:
    """Give the shard tag of what names a session: its id, or the hash of one of its tokens."""
    return name[:2] if isinstance(name, str) else name[:1].hex()


def is_anonymous(owner: str) -> bool:
    """Tell whether `owner` is one that `create(owner=None)` made for a visitor without a name."""
    return _ANONYMOUS_OWNER.fullmatch(owner) is not None


@frozen(repr=False)
class Minted:
    """One new session id and token, from one draw of random bytes. The token is a secret."""

    session_id: str
    token: str
    token_hash: bytes


@frozen(repr=False)
class Mint:
    """Makes ids, tokens and hashes for one deployment."""

    random_bytes: RandomBytes
    keys: KeyRing | None = None
    form: TokenForm = "token"
    _prefix: str = field(init=False)
    _key: bytes | None = field(init=False)
    _accepted: Mapping[str, bytes | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.form not in get_args(TokenForm):
            raise ConfigurationError("token_form", self.form, 'give "token", or "key" for a framework that insists')
        key_id = _KEYLESS if self.keys is None else self.keys.current
        object.__setattr__(self, "_prefix", _prefix(self.form, key_id))
        object.__setattr__(self, "_key", None if self.keys is None else self.keys.keys[key_id])
        object.__setattr__(self, "_accepted", self._by_prefix(key_id))

    def _by_prefix(self, current: str) -> Mapping[str, bytes | None]:
        """Give what tokens begin with, and the key under which those are stored."""
        keys: Mapping[str, bytes | None] = {_KEYLESS: None} if self.keys is None else self.keys.keys
        found: dict[str, bytes | None] = {}
        for key_id in (current, *(each for each in keys if each != current)):
            found[_prefix("token", key_id)] = keys[key_id]
            prefix = _prefix("key", key_id)
            if prefix in found and self.form == "key":
                raise ConfigurationError(
                    "KeyRing key id", key_id, "session keys mark it as they do another one of the ring; rename it"
                )
            found.setdefault(prefix, keys[key_id])
        return MappingProxyType(found)

    def new(self, deployment_id: str, owner: str) -> Minted:
        """Give a session id and a token that never existed before."""
        tag = shard_tag(deployment_id, owner)
        random = self.random_bytes(16 + self._secret_bytes)
        token = self._token(tag, random[16:])
        return Minted(tag + random[:16].hex(), token, hash_token(token, self._key))

    def renewed(self, session_id: str) -> Minted:
        """Give a token that never existed before to the session with this id."""
        token = self._token(shard_of(session_id), self.random_bytes(self._secret_bytes))
        return Minted(session_id, token, hash_token(token, self._key))

    @property
    def _secret_bytes(self) -> int:
        return 16 if self.form == "key" else 32

    def _token(self, tag: str, random: bytes) -> str:
        if self.form == "key":
            return self._prefix + tag + _to_base_36(random, 25)
        return self._prefix + tag + b2a_base64(random, newline=False).translate(_URL_SAFE)[:43].decode("ascii")

    def anonymous_owner(self) -> str:
        """Give an owner of its own for a visitor without a name."""
        return "anonymous-" + self.random_bytes(16).hex()

    def operation_id(self) -> str:
        """Give an id by which a store recognises the repetition of one operation: 16 hexadecimal digits."""
        return self.random_bytes(8).hex()

    def hash_of(self, token: object) -> bytes | None:
        """Give the stored hash of `token`, or None if it is malformed or of a key that is not in the ring."""
        if parse_token(token) is None:
            return None
        token = cast(str, token)
        prefix = token[: -27 if len(token) == _KEY_LENGTH else -45]
        return hash_token(token, self._accepted[prefix]) if prefix in self._accepted else None


def _prefix(form: TokenForm, key_id: str) -> str:
    if form == "token":
        return f"sg1_{key_id}_"
    return "sg" + _to_base_36(hashlib.sha256(key_id.encode("ascii")).digest(), 3)


def _to_base_36(data: bytes, length: int) -> str:
    """Give the last `length` digits of the number that `data` is: of 128 bits, 25 are all."""
    number, digits = int.from_bytes(data, "big"), ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


@lru_cache(maxsize=1024)
def shard_tag(deployment_id: str, owner: str) -> str:
    """Give two hexadecimal digits that are the same for every session of `owner` in one deployment."""
    return hashlib.blake2b(owner.encode(), key=deployment_id.encode("ascii"), digest_size=1).hexdigest()
