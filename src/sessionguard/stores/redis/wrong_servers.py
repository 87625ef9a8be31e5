"""Errors for a server that is there, and is of another kind than the store URL says: how to write the URL."""

from sessionguard.errors import StoreError
from sessionguard.stores.redis.asking import Address


def cluster_met(address: Address) -> StoreError:
    """Give the error for a node of a cluster where something else was to be."""
    return StoreError(
        "redis", "connect", f"{address} is part of a cluster; write the URL as redis+cluster://user:password@{address}"
    )


def sentinel_met(address: Address) -> StoreError:
    """Give the error for a sentinel where a server was to be."""
    return StoreError(
        "redis",
        "connect",
        f"{address} is a sentinel and keeps nothing; write the URL as redis+sentinel://{address}/<name>/0 with the "
        "name that it has for the server, or name the server itself (usually port 6379)",
    )


def server_met(address: Address, service: str) -> StoreError:
    """Give the error for a server where a sentinel was to be."""
    return StoreError(
        "redis",
        "connect",
        f"{address} is no sentinel; name the port of one (usually 26379), as in redis+sentinel://{address.host}:26379/"
        f"{service}/0, or write redis://{address}/0 if it is the server itself",
    )


def no_cluster_met(address: Address) -> StoreError:
    """Give the error for a server that is alone where a node of a cluster was to be."""
    return StoreError(
        "redis", "connect", f"{address} is not part of a cluster; write the URL as redis://user:password@{address}/0"
    )
