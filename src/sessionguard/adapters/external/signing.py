"""Signatures by which an integrator's own server vouches that a user of its may have the session of an external id.

A signature is `sgx1.` + key id + `.` + expiry + `.` + nonce + `.` + owner + `.` + MAC. The MAC is HMAC-SHA-256
(RFC 2104) over every field, each with its length in front, so that no two lists of fields have the same bytes; with
them go the purpose, the audience and the scope, which are not sent: a signature for another place does not hold here.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from attrs import field, frozen

from sessionguard.adapters.external.identifiers import is_server_id, selected_by
from sessionguard.core.arguments import valid_name, valid_text
from sessionguard.core.instants import from_us, to_us, with_unit
from sessionguard.core.tokens import KeyRing, is_anonymous
from sessionguard.errors import ConfigurationError, InvalidArgumentError

LONGEST: Final = timedelta(minutes=5)
"""How long before its first use a signature may have been made."""
CLOCK_SKEW: Final = timedelta(seconds=30)
"""How far the clock of the integrator's server may be ahead."""

_VERSION: Final = "sgx1"
_PURPOSE: Final = "sessionguard external id"
_MAX_LENGTH: Final = 5 + 17 + 13 + 23 + 684 + 44
_EXPIRY: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{22}")
# Whoever names a key that is not in the ring waits as long as the others.
_NO_KEY: Final = b"\0" * 32


@frozen
class SignedExternalId:
    """An external id with the signature that admits it once. The signature is a secret until it is used."""

    external_id: str
    signature: str = field(repr=False)

    @property
    def query(self) -> str:
        """Both as they stand in a URL, behind `?` or `&`."""
        return urlencode({"_sid": self.external_id, "_sig": self.signature})


@frozen
class Vouched:
    """What a signature that holds says."""

    owner: str
    nonce: str
    key_id: str
    expires_at: datetime


def sign_external_id(
    external_id: str,
    *,
    owner: str,
    keys: KeyRing,
    audience: str,
    scope: str = "external",
    valid_for: timedelta = LONGEST,
    now: datetime | None = None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> SignedExternalId:
    """Give `external_id` with a signature under `keys.current`, for one use within `valid_for`, at most five minutes.

    For the integrator's server: whoever presents both to the deployment named `audience` gets the session
    (`scope`, `owner`, `external_id`), so send them to that user only.

    Raises:
        InvalidArgumentError: an argument cannot be signed.
    """
    if is_server_id(selected_by("external_id", external_id)):
        raise InvalidArgumentError("external_id", "(not shown)", "34 hexadecimal digits are ids of the server")
    if not isinstance(valid_for, timedelta) or not timedelta(seconds=1) <= valid_for <= LONGEST:
        remedy = with_unit(valid_for, "give a timedelta from one second to five minutes")
        raise InvalidArgumentError("valid_for", valid_for, remedy)
    if not isinstance(keys, KeyRing):
        raise InvalidArgumentError("keys", type(keys).__name__, "give a KeyRing")
    valid_name("owner", owner)
    for argument, value in (("audience", audience), ("scope", scope)):
        valid_text(argument, value)
    expiry = to_us((now or datetime.now(UTC)) + valid_for) // 1_000_000
    nonce = _encoded(random_bytes(16))
    fields = (keys.current, str(expiry), nonce, owner, external_id, audience, scope)
    return SignedExternalId(external_id, _signed(keys.keys[keys.current], *fields))


def vouched_by(
    signature: str, external_id: str, *, keys: KeyRing, audience: str, scope: str, now: datetime
) -> Vouched | str:
    """Give what `signature` says of `external_id`, or why it does not hold, which is for the log and not for clients.

    That it was not used before is for the caller to find out.
    """
    parts = signature.split(".") if len(signature) <= _MAX_LENGTH and signature.isascii() else []
    if len(parts) != 6 or parts[0] != _VERSION:
        return "malformed"
    _, key_id, expiry, nonce, encoded_owner, _ = parts
    owner = _decoded(encoded_owner)
    if owner is None or _EXPIRY.fullmatch(expiry) is None or _NONCE.fullmatch(nonce) is None:
        return "malformed"
    key = keys.keys.get(key_id)
    expected = _signed(key or _NO_KEY, key_id, expiry, nonce, owner, external_id, audience, scope)
    # The whole text, not only the MAC: base64 has several spellings for the same bytes.
    if not hmac.compare_digest(expected.encode(), signature.encode()) or key is None:
        return "wrong signature"
    expires_at = from_us(int(expiry) * 1_000_000)
    if now >= expires_at:
        return "expired"
    if expires_at > now + LONGEST + CLOCK_SKEW:
        return "valid for too long"
    if is_anonymous(owner):
        # Refused where we sign; other programs may sign as well.
        return "owner of a visitor"
    return Vouched(owner, nonce, key_id, expires_at)


def valid_audience(value: object) -> str:
    """Give `value` if it can name a deployment, else raise `ConfigurationError`."""
    try:
        return valid_text("audience", value)
    except InvalidArgumentError as error:
        remedy = f"name this deployment, such as its host; the integrator signs for it ({error.remedy})"
        raise ConfigurationError("Signed.audience", value, remedy) from None


def _signed(
    key: bytes, key_id: str, expiry: str, nonce: str, owner: str, external_id: str, audience: str, scope: str
) -> str:
    fields = (_VERSION, _PURPOSE, key_id, expiry, nonce, owner, external_id, audience, scope)
    message = b"".join(len(text).to_bytes(4, "big") + text for text in (value.encode() for value in fields))
    mac = _encoded(hmac.digest(key, message, "sha256"))
    return f"{_VERSION}.{key_id}.{expiry}.{nonce}.{_encoded(owner.encode())}.{mac}"


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> str | None:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (NotBase64, ValueError):
        return None
