"""What `sessionguard doctor` looks at in a Redis store: servers, settings, permissions. Nothing changes."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from redis import exceptions as driver

from sessionguard.core.findings import Finding
from sessionguard.errors import StoreDataError, StoreError
from sessionguard.stores.redis import permissions
from sessionguard.stores.redis.asking import META, Address, Inspect, Procedure, Survey, Words
from sessionguard.stores.redis.handshake import Facts
from sessionguard.stores.redis.keys import TAGS
from sessionguard.stores.redis.openings import FORMAT, Home, identify
from sessionguard.stores.redis.routing import discovered
from sessionguard.stores.redis.settings import Settings
from sessionguard.stores.redis.translation import translated

_QUESTIONS: Final[tuple[Words, ...]] = (
    ("INFO",),
    ("CONFIG", "GET", "maxmemory-policy"),
    ("TIME",),
    ("CONFIG", "GET", "appendfsync"),
    ("CONFIG", "GET", "save"),
)
_TOLERATED_SKEW_SECONDS: Final = 5.0
_MAY_READ: Final = f"which its user need not: {permissions.READS_SETTINGS} would let it"

Level = Literal["ok", "warning", "problem"]


def examined(settings: Settings, home: Home) -> Procedure[list[Finding]]:
    """Give one finding per subject and server, the good ones too."""
    findings = [_protocol(), _topology(settings)]
    try:
        routes = yield from discovered(settings, home, ())
    except StoreError as error:
        return [
            *findings,
            Finding("problem", "connection", str(error), "see that the servers run and the URL is right"),
        ]
    addresses = sorted(set(routes.values()))
    before = time.time()
    answers = yield Inspect(addresses, _QUESTIONS)
    host_time = (before + time.time()) / 2
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, BaseException):
            remedy = "see that it runs, that the URL is right, and the user and the password with it"
            reason = translated("examine", answer, home.keys.prefix)
            findings.append(Finding("problem", f"connection {address}", str(reason), remedy))
        else:
            findings += _of_server(settings, address, answer, host_time)
    if not any(finding.level == "problem" for finding in findings):
        try:
            findings += yield from _of_content(home)
        except (driver.RedisError, OSError, StoreError) as error:
            findings.append(_failed(error, home.keys.prefix))
    return findings


def migrated(home: Home, dry_run: bool) -> Procedure[list[str]]:
    """Raise `StoreDataError` if the format is not known; there is no other one yet, so nothing is due."""
    if dry_run:
        (known,) = yield Survey([(META, ("GET", home.keys.meta))])
        if known is not None:
            yield from identify(home)
        return []
    yield from identify(home)
    return []


def _failed(error: BaseException, prefix: str) -> Finding:
    reason = str(translated("examine", error, prefix))
    if permissions.refusal(error, prefix) is not None:
        return Finding("problem", "permissions", reason, permissions.rule(prefix))
    return Finding("problem", "content", reason, "change what it names, in the URL or on the server")


def _protocol() -> Finding:
    return Finding("ok", "driver", "RESP2 without notifications: unread replies are found before a connection is used")


def _topology(settings: Settings) -> Finding:
    where = ", ".join(map(str, settings.addresses))
    encrypted = "encrypted" if settings.encryption is not None else "not encrypted"
    if settings.topology == "single":
        return Finding("ok", "topology", f"one server at {where}, {encrypted}")
    if settings.topology == "sentinel":
        return Finding("ok", "topology", f"{settings.service!r} as the sentinels {where} name it, {encrypted}")
    return Finding("ok", "topology", f"a cluster, known by {where}, {encrypted}")


def _of_server(settings: Settings, address: Address, answer: list[Any], host_time: float) -> Iterator[Finding]:
    facts = Facts.of(answer[:2])
    yield _version(address, facts)
    yield _eviction(settings, address, facts)
    if facts.info:
        yield _memory(address, facts.info)
        yield _durability(address, facts.info, _setting(answer[3]), _setting(answer[4]))
        yield from _saving(address, facts.info)
        yield _replicas(settings, address, facts.info)
    yield _clock(address, answer[2], host_time)


def _version(address: Address, facts: Facts) -> Finding:
    subject = f"server {address}"
    if facts.version is None:
        message = "INFO could not be read, so its version, memory, durability and replicas are not known"
        return Finding("warning", subject, message, "let its user read it: ACL SETUSER <user> +info")
    text = f"{facts.product} {facts.version_text}"
    if facts.version < (6, 2):
        return Finding("problem", subject, text, "upgrade to Redis 6.2 or newer, or to Valkey")
    return Finding("ok", subject, text)


def _eviction(settings: Settings, address: Address, facts: Facts) -> Finding:
    subject = f"eviction {address}"
    if facts.policy == "noeviction":
        return Finding("ok", subject, "noeviction")
    remedy = "CONFIG SET maxmemory-policy noeviction, and in redis.conf"
    if facts.policy is None:
        remedy = f"see that it is right ({remedy}), or let its user read it: ACL SETUSER <user> +info"
        return Finding("warning", subject, "maxmemory-policy could not be read", remedy)
    level: Level = "warning" if settings.allow_eviction else "problem"
    return Finding(level, subject, f"{facts.policy}: sessions vanish when its memory is full", remedy)


def _memory(address: Address, info: Mapping[str, str]) -> Finding:
    subject = f"memory {address}"
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not limit:
        return Finding(
            "warning",
            subject,
            f"{used >> 20} MiB used, no limit: the system ends a server that takes too much, and what it held is gone",
            "set maxmemory to about two thirds of the machine's memory",
        )
    level: Level = "warning" if used > 0.8 * limit else "ok"
    remedy = "raise maxmemory, or let history be forgotten sooner (history_retention)" if level == "warning" else ""
    return Finding(level, subject, f"{used >> 20} of {limit >> 20} MiB used", remedy)


def _durability(address: Address, info: Mapping[str, str], fsync: str | None, save: str | None) -> Finding:
    subject = f"durability {address}"
    if info.get("aof_enabled") == "1":
        if fsync == "always":
            return Finding("ok", subject, "AOF, appendfsync always: a crash loses nothing that was acknowledged")
        if fsync is None:
            return Finding("ok", subject, f"AOF; appendfsync could not be read, {_MAY_READ}")
        remedy = "set appendfsync always if that is too much"
        loss = "the last second of changes" if fsync == "everysec" else "changes of some seconds"
        return Finding("warning", subject, f"AOF, appendfsync {fsync}: a power failure may lose {loss}", remedy)
    remedy = "set appendonly yes"
    if save is None:
        message = "no AOF: a crash loses what was not saved, or everything"
        return Finding("warning", subject, f"{message}; whether it saves could not be read, {_MAY_READ}", remedy)
    if save:
        return Finding("warning", subject, "RDB: a crash loses all changes since the last save", remedy)
    return Finding("warning", subject, "no persistence: a restart loses every session", remedy)


def _saving(address: Address, info: Mapping[str, str]) -> Iterator[Finding]:
    for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(name, "ok") != "ok":
            yield Finding(
                "problem", f"saving {address}", f"{name}: {info[name]}", "see its log, and the space on its disk"
            )


def _replicas(settings: Settings, address: Address, info: Mapping[str, str]) -> Finding:
    subject = f"replicas {address}"
    if info.get("role") not in (None, "master"):
        return Finding("problem", subject, "it is itself a replica", "name the primary in the URL, or its sentinels")
    count = int(info.get("connected_slaves", 0))
    if count or settings.topology == "single":
        said = f"{count} connected; a failover may lose what they had not received" if count else "none"
        return Finding("ok", subject, said)
    return Finding("warning", subject, "none: there is nothing to fail over to", "add a replica")


def _clock(address: Address, answer: Any, host_time: float) -> Finding:
    subject = f"clock {address}"
    if not isinstance(answer, list):
        return Finding("warning", subject, "TIME could not be read", "let its user read it: ACL SETUSER <user> +time")
    skew = int(answer[0]) + int(answer[1]) / 1e6 - host_time
    if abs(skew) <= _TOLERATED_SKEW_SECONDS:
        return Finding("ok", subject, "as this host's")
    return Finding(
        "warning", subject, f"{skew:+.0f} s from this host's; sessions go by the server's", "let NTP set both clocks"
    )


def _setting(answer: Any) -> str | None:
    return answer[1].decode("utf-8", "replace") if isinstance(answer, list) and len(answer) > 1 else None


def _of_content(home: Home) -> Procedure[list[Finding]]:
    (known,) = yield Survey([(META, ("GET", home.keys.meta))])
    prefix = home.keys.prefix
    if known is None:
        return [Finding("ok", "content", f"nothing under the prefix {prefix!r} yet")]
    try:
        yield from identify(home)
    except StoreDataError as error:
        return [Finding("problem", "format", str(error), "upgrade sessionguard, or choose another prefix")]
    questions: list[tuple[str, Words]] = [(tag, ("ZCARD", home.keys.index(tag, "all"))) for tag in TAGS]
    count = sum((yield Survey(questions)))
    return [
        Finding("ok", "format", FORMAT),
        Finding("ok", "content", f"{count} sessions under the prefix {prefix!r}, ended ones included"),
    ]
