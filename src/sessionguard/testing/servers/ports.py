"""Picks ports on loopback that stay free while a server is down."""

import os
import random
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Below the range the system gives to outgoing connections, so that none of those takes the port of a server that is
# down for a moment; and low enough that the bus of a Redis cluster, 10000 above, is below it as well.
_RANGE: Final = range(12_000, 22_700)
_ATTEMPTS: Final = 200


def free_port(*, also_above: int = 0) -> int:
    """Give a port that is free now, as is the one `also_above` higher."""
    # Seeded by the system and the process: forked children must not walk the same ports.
    numbers = random.Random(os.urandom(16))
    for _ in range(_ATTEMPTS):
        port = numbers.choice(_RANGE)
        if _is_free(port) and (not also_above or _is_free(port + also_above)):
            return port
    raise OSError(f"no port is free on {LOOPBACK} between {_RANGE.start} and {_RANGE.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
