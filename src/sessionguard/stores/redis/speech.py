"""How a server wants to be spoken to, found out over a connection of its own after one has failed for no clear reason.

A server that speaks plain says nothing at all to the beginning of a TLS handshake, and one that speaks TLS closes a
plain connection without a word; what one says that wants a certificate may be lost with the connection. All of it looks
like a fault of the network, which may pass.
"""

import contextlib
import socket
import ssl
import time
from typing import Final, Literal

from sessionguard.stores.redis.asking import Address

Speech = Literal["plain", "encrypted"]

_LONGEST_SECONDS: Final = 0.3
# The first bytes of answers: to a command, and of a record that goes on with the handshake, or ends it.
_ANSWERS: Final = (b"+", b"-")
_RECORDS: Final = (b"\x16", b"\x15")


def speaks(address: Address, speech: Speech) -> bool:
    """Tell whether the server at `address` shows within 0.3 seconds, over one connection, that it speaks like this."""
    if speech == "plain":
        return _first_byte(address, b"PING\r\n") in _ANSWERS
    return _first_byte(address, _greeting()) in _RECORDS


def wants_certificate(address: Address) -> bool:
    """Tell whether the server at `address` shows, as quickly, that it talks only to who shows a certificate."""
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=_LONGEST_SECONDS / 3) as plain,
            _trusting().wrap_socket(plain) as line,
        ):
            # It says so after the handshake. Nothing is sent: a server that closes unread mail takes its words along.
            line.recv(1)
    except OSError as error:
        return isinstance(error, ssl.SSLError) and "CERTIFICATE_REQUIRED" in str(error)
    return False


def _first_byte(address: Address, said: bytes) -> bytes:
    """Give the first byte of the answer; none if there is no answer."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    try:
        with socket.create_connection((address.host, address.port), timeout=_LONGEST_SECONDS) as line:
            line.settimeout(max(deadline - time.monotonic(), 0.001))
            line.sendall(said)
            return line.recv(1)
    except OSError:
        return b""


def _greeting() -> bytes:
    """Give what a client begins a TLS handshake with. It asks for nothing."""
    written = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _trusting().wrap_bio(ssl.MemoryBIO(), written).do_handshake()
    return written.read()


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
