"""Whether a server speaks TLS or not, found out over connections of its own after one has failed for no clear reason.

A server that speaks plain says nothing at all to the beginning of a TLS handshake, and one that speaks TLS closes a
plain connection without a word: both look like a fault of the network, which may pass.
"""

import contextlib
import socket
import ssl
from typing import Final, Literal

from sessionguard.stores.redis.asking import Address

Speech = Literal["plain", "encrypted"]

_LONGEST_SECONDS: Final = 1.0
_ANSWERS: Final = (b"+", b"-")
# The first byte of a record that goes on with the handshake, or ends it.
_RECORDS: Final = (b"\x16", b"\x15")


def spoken(address: Address, seconds: float) -> Speech | None:
    """Give how the server at `address` speaks; None if it does not tell within a part of `seconds`."""
    limit = min(_LONGEST_SECONDS, seconds / 2)
    if limit <= 0:
        return None
    answer = _first_byte(address, b"PING\r\n", limit)
    if answer in _ANSWERS:
        return "plain"
    if answer is None:
        return None
    return "encrypted" if _first_byte(address, _greeting(), limit) in _RECORDS else None


def _first_byte(address: Address, said: bytes, seconds: float) -> bytes | None:
    """Give the first byte of the answer, none if the connection was closed instead, None if nothing came."""
    try:
        with socket.create_connection((address.host, address.port), timeout=seconds) as line:
            line.sendall(said)
            return line.recv(1)
    except ConnectionResetError:
        return b""
    except OSError:
        return None


def _greeting() -> bytes:
    """Give what a client begins a TLS handshake with. It asks for nothing, and no certificate is judged."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    written = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), written).do_handshake()
    return written.read()
