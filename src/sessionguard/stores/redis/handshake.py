"""How a connection is made, and what a server must be before it is used: pure, the same for both stores."""

import logging
import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import redis
from attrs import define, field, frozen
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from sessionguard.errors import StoreError
from sessionguard.stores.redis.asking import Address, Words
from sessionguard.stores.redis.settings import Settings
from sessionguard.stores.redis.wrong_servers import cluster_met, sentinel_met

_log = logging.getLogger("sessionguard.redis")

_OLDEST: Final = (6, 2)
_SAFE_POLICY: Final = "noeviction"


def connection_arguments(settings: Settings, *, of_sentinel: bool = False) -> dict[str, Any]:
    """Give the arguments of every connection of the driver.

    RESP2 and no maintenance notifications: with them the driver would not look for an unread reply. No retries: what
    is repeated, and when, is decided in `sessionguard.core.driving`. Nothing is sent beside what is asked.
    """
    arguments: dict[str, Any] = {
        "protocol": 2,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "health_check_interval": 0,
        "driver_info": None,
        "socket_keepalive": True,
        "socket_connect_timeout": settings.patience_seconds,
        "username": settings.sentinel_username if of_sentinel else settings.username,
        "password": settings.sentinel_password if of_sentinel else settings.password,
        "db": 0 if of_sentinel else settings.db,
    }
    if settings.encryption is not None:
        arguments |= {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_ca_certs": settings.encryption.ca_certs,
            "ssl_certfile": settings.encryption.certfile,
            "ssl_keyfile": settings.encryption.keyfile,
        }
    return arguments


def no_retries(retry_class: Any) -> Any:
    """Give the driver's way of trying once."""
    return retry_class(NoBackoff(), 0)


def require_guard(connection: Any) -> None:
    """Raise `StoreError` if the driver would take an unread reply for the answer to the next request."""
    config = getattr(connection, "maint_notifications_config", None)
    if int(connection.get_protocol()) != 2 or getattr(config, "enabled", False):
        raise StoreError(
            "redis", "connect", "this version of redis-py does not keep to RESP2 without notifications; use redis>=8.1"
        )


def require_names(thing: Any, *names: str) -> None:
    """Raise `StoreError` if what the stores use of a driver's connection beside its documented names is not there.

    Before anything is sent: after that, whether it was done would be unknown, and the error none of the store's.
    """
    for name in names:
        try:
            attrgetter(name)(thing)
        except AttributeError:
            raise StoreError(
                "redis",
                "connect",
                f"a {type(thing).__name__} of redis-py {redis.__version__} has no {name} any more; use an older one "
                "from 8.1 on, or a newer sessionguard",
            ) from None


# What is asked of a server over the first connection to it

FIRST: Final[tuple[Words, ...]] = (("INFO",), ("CONFIG", "GET", "maxmemory-policy"))


@define
class Notices:
    """What a store has said in the log, or asked a server, and does not do again, however often it connects."""

    is_unchecked_said: bool = False
    ask_again_at: dict[Address, float] = field(factory=dict)
    """Before which instant of the monotonic clock a server is not asked whether it speaks TLS."""


def check_server(settings: Settings, address: Address, replies: Sequence[Any], notices: Notices) -> None:
    """Raise `StoreError` if the server is too old, of the wrong kind, or throws away what it holds."""
    facts = Facts.of(replies)
    if facts.version is not None and facts.version < _OLDEST:
        raise StoreError(
            "redis", "connect", f"{address} is {facts.product} {facts.version_text}; use Redis 6.2 or newer, or Valkey"
        )
    if facts.is_cluster and settings.topology != "cluster":
        raise cluster_met(address)
    if facts.is_sentinel:
        raise sentinel_met(address)
    if facts.policy is None:
        if not notices.is_unchecked_said:
            notices.is_unchecked_said = True
            _log.warning(
                "%s tells neither INFO nor CONFIG GET: see yourself that its maxmemory-policy is noeviction, or "
                "sessions vanish when its memory is full; with +info its user may ask",
                address,
            )
    elif facts.policy != _SAFE_POLICY and not settings.allow_eviction:
        raise StoreError(
            "redis",
            "connect",
            f"the maxmemory-policy of {address} is {facts.policy}: it would throw sessions away when its memory is "
            "full; set noeviction, or add allow_eviction=true to the URL if losing sessions is acceptable",
        )


@frozen
class Facts:
    """What a server says about itself; what it keeps to itself is missing."""

    info: Mapping[str, str]
    policy: str | None

    @classmethod
    def of(cls, replies: Sequence[Any]) -> "Facts":
        """Read the replies to the commands of `FIRST`."""
        info, policy = replies
        facts = read_info(info)
        if isinstance(policy, list) and len(policy) > 1:
            return cls(facts, policy[1].decode("ascii", "replace"))
        return cls(facts, facts.get("maxmemory_policy"))

    @property
    def product(self) -> str:
        """Redis or Valkey."""
        return "Valkey" if "valkey_version" in self.info else "Redis"

    @property
    def version_text(self) -> str:
        """The version of the product, as it is written."""
        return self.info.get("valkey_version") or self.info.get("redis_version", "unknown")

    @property
    def version(self) -> tuple[int, ...] | None:
        """The version of Redis with which it is compatible, as numbers."""
        found = re.match(r"(\d+)\.(\d+)", self.info.get("redis_version", ""))
        return None if found is None else (int(found[1]), int(found[2]))

    @property
    def is_cluster(self) -> bool:
        """Whether it is a node of a cluster."""
        return self.info.get("cluster_enabled") == "1"

    @property
    def is_sentinel(self) -> bool:
        """Whether it watches servers and keeps nothing itself."""
        return self.info.get("redis_mode") == "sentinel"


def read_info(reply: Any) -> dict[str, str]:
    """Give the `name:value` lines of INFO; none if it was refused."""
    if not isinstance(reply, bytes):
        return {}
    pairs = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if ":" in line)
    return {name: value.strip() for name, _, value in pairs}
