"""Which server has which shard: one server for all, the one that the sentinels name, or the nodes of a cluster."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis import exceptions as driver

from sessionguard.errors import SessionGuardError, StoreError, StoreUnavailableError
from sessionguard.stores.redis.asking import META, Address, Inspect, Procedure
from sessionguard.stores.redis.keys import Keys, hash_slot
from sessionguard.stores.redis.openings import Home
from sessionguard.stores.redis.settings import Settings
from sessionguard.stores.redis.translation import translated
from sessionguard.stores.redis.wrong_servers import no_cluster_met, sentinel_met, server_met

Routes = Mapping[str, Address]
"""Tag -> where its shard is."""

_NO_SUCH_SERVICE: Final = (
    "{} no service {!r}; write the name behind the host as `sentinel monitor <name>` in their configuration has it"
)


# So many share the time evenly; of more, the first ones get as much and leave less to the others.
_SHARES: Final = 4


def discovered(settings: Settings, home: Home, known: Sequence[Address]) -> Procedure[Routes]:
    """Give where every shard is now, within the patience of the store. `known` are servers that were met before."""
    if settings.topology == "single":
        return _all_on(home.keys, settings.addresses[0])
    if settings.topology == "sentinel":
        return _all_on(home.keys, (yield from _primary(settings, home)))
    return (yield from _of_cluster(settings, home, known))


def _guides(settings: Settings, home: Home, known: Sequence[Address]) -> Iterator[tuple[Address, float]]:
    """Give whom to ask, who answered last first, each with its share of the seconds that are left."""
    first = [] if home.guide is None else [home.guide]
    addresses = list(dict.fromkeys([*first, *settings.addresses, *known]))
    deadline = time.monotonic() + settings.patience_seconds
    for position, address in enumerate(addresses):
        left = deadline - time.monotonic()
        if position and left <= 0:
            return
        yield address, max(left, 0.001) / min(len(addresses) - position, _SHARES)


def _all_on(keys: Keys, address: Address) -> Routes:
    return dict.fromkeys([META, *keys.bases], address)


def _primary(settings: Settings, home: Home) -> Procedure[Address]:
    question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", settings.service)
    failures: list[BaseException] = []
    ignorant: list[Address] = []
    for sentinel, seconds in _guides(settings, home, ()):
        (answer,) = yield Inspect((sentinel,), (question,), of_sentinels=True, seconds=seconds)
        if isinstance(answer, BaseException):
            failures.append(answer)
        elif isinstance(answer[0], list):
            home.guide = sentinel
            host, port = answer[0]
            return Address(host.decode("ascii"), int(port))
        elif isinstance(answer[0], BaseException):
            is_server = re.search(r"unknown command .SENTINEL", str(answer[0])) is not None
            failures.append(server_met(sentinel, settings.service) if is_server else answer[0])
        else:
            ignorant.append(sentinel)
    if not failures:
        raise StoreError("redis", "connect", _NO_SUCH_SERVICE.format("the sentinels know", settings.service))
    if not ignorant:
        raise _unreachable(home, "no sentinel answered", failures)
    who = ", ".join(map(str, ignorant))
    unknown = _NO_SUCH_SERVICE.format(f"of the sentinels, {who} knew", settings.service)
    raise _unreachable(home, f"{unknown}. No other one answered", failures)


def _of_cluster(settings: Settings, home: Home, known: Sequence[Address]) -> Procedure[Routes]:
    failures: list[BaseException] = []
    for node, seconds in _guides(settings, home, known):
        (answer,) = yield Inspect((node,), (("CLUSTER", "SLOTS"),), seconds=seconds)
        if isinstance(answer, BaseException):
            failures.append(answer)
            continue
        slots = answer[0]
        if isinstance(slots, driver.ResponseError) and "cluster support disabled" in str(slots):
            raise no_cluster_met(node)
        if isinstance(slots, driver.ResponseError) and re.search(r"unknown command .CLUSTER", str(slots)) is not None:
            raise sentinel_met(node)
        if isinstance(slots, BaseException):
            failures.append(slots)
        elif (routes := _covering(home.keys, slots, node)) is not None:
            home.guide = node
            return routes
    if not failures:
        raise StoreUnavailableError("redis", "connect", "the cluster does not serve all slots", transient=True)
    raise _unreachable(home, "no node of the cluster answered", failures)


def _covering(keys: Keys, slots: Sequence[Any], asked: Address) -> Routes | None:
    """Give the routes, or None if some slot is served by nobody."""
    ranges = []
    for first, last, (host, port, *_), *_ in slots:
        # A node that does not know its own name is the one that was asked.
        name = host.decode("ascii") if host else asked.host
        ranges.append((first, last, Address(name, port)))

    def place(key: bytes) -> Address | None:
        slot = hash_slot(key)
        return next((address for first, last, address in ranges if first <= slot <= last), None)

    routes = {META: place(keys.meta)} | {tag: place(base) for tag, base in keys.bases.items()}
    found = {tag: address for tag, address in routes.items() if address is not None}
    return found if len(found) == len(routes) else None


def _unreachable(home: Home, what: str, failures: Sequence[BaseException]) -> SessionGuardError:
    """Give the error for the case that nobody showed the way: what may pass counts more than what never will."""
    reasons = []
    for failure in failures:
        reasons.append(reason := translated("connect", failure, home.keys.prefix))
        if reason is not failure:
            reason.__cause__ = failure
    passing = [reason for reason in reasons if getattr(reason, "transient", False)]
    reason = (passing or reasons)[-1]
    if not isinstance(reason, StoreUnavailableError) or not reason.transient:
        return reason
    error = StoreUnavailableError("redis", "connect", f"{what}: {reason.message}", transient=True)
    error.__cause__ = reason
    return error
