"""Sessions on Redis or Valkey: one server, a server behind sentinels, or a cluster."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final

from sessionguard.errors import ConfigurationError, MissingExtraError

if find_spec("redis") is None:
    raise MissingExtraError("redis", "redis>=8.1")
if tuple(map(int, re.findall(r"\d+", version("redis"))[:2])) < (8, 1):
    raise ConfigurationError("redis-py", version("redis"), "use a newer one: pip install 'redis>=8.1'")

from sessionguard.stores.options import truth_in
from sessionguard.stores.redis.async_store import AsyncRedisStore
from sessionguard.stores.redis.certificates import Encryption
from sessionguard.stores.redis.store import RedisStore

__all__ = ["AsyncRedisStore", "Encryption", "RedisStore", "open_redis"]

_ENCRYPTION: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS: Final = frozenset(
    {"prefix", "patience", "pool", "allow_eviction", "sentinel_username", "sentinel_password", *_ENCRYPTION}
)


def open_redis(url: str, options: Mapping[str, str]) -> RedisStore:
    """Open `redis://host:port/db`, `redis+sentinel://host,host/service/db` or `redis+cluster://host,host`.

    With `rediss` in the place of `redis` connections are encrypted. Options: `prefix` (sg) of all keys;
    `patience=SECONDS` (5), how long to wait for an answer; `pool` (10), connections per server and process;
    `allow_eviction=true`, to use a server that may throw sessions away; `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`;
    `sentinel_username`, `sentinel_password`.
    """
    if options.keys() - _OPTIONS:
        # Not named: behind a question mark inside a password, the rest of the password would be an option.
        raise ConfigurationError.of_url(url, f"unknown option; known: {', '.join(sorted(_OPTIONS))}")
    files = {name.removeprefix("ssl_"): options[name] for name in _ENCRYPTION if name in options}
    return RedisStore(
        url,
        prefix=options.get("prefix", "sg"),
        patience_seconds=_number(url, options, "patience", 5.0),
        pool_size=int(_number(url, options, "pool", 10)),
        allow_eviction=truth_in(url, options, "allow_eviction", default=False),
        encryption=Encryption(**files) if files else None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
    )


def _number(url: str, options: Mapping[str, str], name: str, default: float) -> float:
    text = options.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 3600:
        raise ConfigurationError.of_url(url, f"{name} is a number above 0 and below 3600")
    return number
