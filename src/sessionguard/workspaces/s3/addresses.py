"""Which place a bucket is: by its address, unless that means another place on every machine."""

import ipaddress
import socket
from urllib.parse import urlsplit

from sessionguard.booting import this_boot
from sessionguard.workspaces.s3.settings import Settings


def place_id(endpoint: str, settings: Settings) -> str:
    """Name the bucket and prefix, alike on every machine that reaches them by this address."""
    place = f"{endpoint.rstrip('/')}/{settings.bucket}/{settings.prefix}"
    # A server on the machine itself is another one on the next machine, or in the next container.
    return f"{place} on {socket.gethostname()}-{this_boot().hex()}" if _is_own(endpoint) else place


def _is_own(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Without a dot it is resolved by what this machine or its network of containers knows.
        return "." not in host or host.endswith((".localhost", ".local"))
    return address.is_loopback or address.is_unspecified
