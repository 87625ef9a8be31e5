"""Where the server is and how to speak to it, read from a store URL; no password is ever shown."""

import re
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import unquote

from attrs import field, frozen

from sessionguard.errors import ConfigurationError
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.certificates import Encryption, require_usable

Topology = Literal["single", "sentinel", "cluster"]

_SCHEMES: Final[Mapping[str, tuple[Topology, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "valkey": ("single", False),
    "valkeys": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_SERVICE: Final = re.compile(r"[A-Za-z0-9._-]+")
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_MOST_CONNECTIONS: Final = 1000


@frozen(kw_only=True)
class Settings:
    """Everything that decides how a store connects."""

    topology: Topology
    addresses: tuple[Address, ...]
    service: str = ""
    """What the sentinels call the server."""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    encryption: Encryption | None = None
    pool_size: int = 10
    patience_seconds: float = 5.0
    allow_eviction: bool = False

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.pool_size, int) or not 1 <= self.pool_size <= _MOST_CONNECTIONS:
            raise ConfigurationError("pool_size", self.pool_size, f"use 1 to {_MOST_CONNECTIONS} connections")
        if not 0 < self.patience_seconds < 3600:
            raise ConfigurationError(
                "patience_seconds", self.patience_seconds, "use a number of seconds above 0 and below 3600"
            )


def read_url(
    url: str,
    *,
    encryption: Encryption | None = None,
    sentinel_username: str | None = None,
    sentinel_password: str | None = None,
    pool_size: int = 10,
    patience_seconds: float = 5.0,
    allow_eviction: bool = False,
) -> Settings:
    """Give the settings that `url`, whose options are given apart, stands for."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    kind = _SCHEMES.get(scheme.lower())
    if kind is None:
        raise ConfigurationError.of_url(url, f"use one of {', '.join(f'{known}://' for known in _SCHEMES)}")
    topology, encrypted = kind
    if encryption is not None and not encrypted:
        raise ConfigurationError.of_url(url, "certificates need a scheme that encrypts, such as rediss://")
    if encryption is not None:
        require_usable(encryption)
    credentials, _, place = rest.rpartition("@")
    hosts, *path = place.split("/")
    username, colon, password = credentials.partition(":")
    service, db = _service_and_db(url, topology, [part for part in path if part])
    return Settings(
        topology=topology,
        addresses=_addresses(url, topology, hosts),
        service=service,
        db=db,
        username=unquote(username) or None,
        password=(unquote(password) if colon else None) or None,
        sentinel_username=sentinel_username,
        sentinel_password=sentinel_password,
        encryption=(encryption or Encryption()) if encrypted else None,
        pool_size=pool_size,
        patience_seconds=patience_seconds,
        allow_eviction=allow_eviction,
    )


def _service_and_db(url: str, topology: Topology, path: list[str]) -> tuple[str, int]:
    service = ""
    if topology == "sentinel":
        if not path or _SERVICE.fullmatch(path[0]) is None:
            raise ConfigurationError.of_url(
                url, "name what the sentinels watch, as in redis+sentinel://host1,host2/mymaster/0"
            )
        service = path.pop(0)
    if not path:
        return service, 0
    if len(path) > 1 or not path[0].isdecimal() or not path[0].isascii():
        raise ConfigurationError.of_url(url, "after the host comes only the number of the database, as in .../0")
    db = int(path[0])
    if topology == "cluster" and db:
        raise ConfigurationError.of_url(url, "a cluster has only database 0")
    return service, db


def _addresses(url: str, topology: Topology, hosts: str) -> tuple[Address, ...]:
    port = _SENTINEL_PORT if topology == "sentinel" else _PORT
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    if topology == "single" and len(found) > 1:
        raise ConfigurationError.of_url(url, "several hosts need redis+cluster:// or redis+sentinel://")
    addresses = []
    for match in found:
        number = -1 if match is None else int(match[3] or port)
        if match is None or not 0 < number < 65536:
            raise ConfigurationError.of_url(url, "write it as redis://user:password@host:6379/0")
        addresses.append(Address(match[1] or match[2], number))
    return tuple(addresses)
