"""A Redis cluster of masters on loopback: every slot is served when it has started."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

from sessionguard.testing.servers.errors import ServerStartError
from sessionguard.testing.servers.installations import Installation, find_redis
from sessionguard.testing.servers.ports import LOOPBACK, free_port
from sessionguard.testing.servers.redis_server import RedisServer, Setting
from sessionguard.testing.servers.redis_wire import section
from sessionguard.testing.servers.running import START_SECONDS

SLOTS = 16384
_BUS_OFFSET = 10_000
_POLL_SECONDS = 0.02


class _Node(RedisServer):
    def _pick_port(self) -> int:
        return free_port(also_above=_BUS_OFFSET)


class RedisCluster:
    """Several masters without replicas; `nodes` are the servers, each with verbs of its own."""

    def __init__(
        self,
        *,
        masters: int = 3,
        appendonly: Literal["no", "everysec", "always"] = "everysec",
        config: Mapping[str, Setting] | None = None,
        binaries: Installation | None = None,
    ) -> None:
        settings: dict[str, Setting] = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": 2000,
            "cluster-config-file": "nodes.conf",
        }
        installation = binaries or find_redis()
        self.version = installation.version
        self.nodes = tuple(
            _Node(appendonly=appendonly, config={**settings, **(config or {})}, binaries=installation)
            for _ in range(masters)
        )
        self._is_formed = False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The store URL of the cluster; it names every node."""
        return "redis+cluster://" + ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)

    @property
    def port(self) -> int:
        """The port of the first node."""
        return self.nodes[0].port

    @property
    def is_running(self) -> bool:
        """Whether every node is there."""
        return all(node.is_running for node in self.nodes)

    def start(self) -> None:
        """Every node serves and every slot is served by one.

        Raises:
            ServerStartError: a node did not start, or the nodes did not find together in time.
        """
        for node in self.nodes:
            node.start()
        if not self._is_formed:
            self._form()
            self._is_formed = True
        self.wait_until_ok()

    def stop(self) -> None:
        """Every node has ended cleanly."""
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """Every node was killed."""
        for node in self.nodes:
            node.kill()

    def freeze(self) -> None:
        """Every node stands still."""
        for node in self.nodes:
            node.freeze()

    def thaw(self) -> None:
        """Every frozen node goes on."""
        for node in self.nodes:
            node.thaw()

    def restart(self) -> None:
        """Every node was stopped cleanly and serves again on its data."""
        self.stop()
        self.start()

    def flush(self) -> None:
        """Everything that was stored in the running nodes is gone."""
        for node in self.nodes:
            node.flush()

    def close(self) -> None:
        """Every node is gone, with its folder."""
        for node in self.nodes:
            node.close()

    def node_of(self, slot: int) -> RedisServer:
        """Give the node that serves `slot`."""
        ports = {node.port: node for node in self.nodes}
        for first, last, (_, port, *_), *_ in self.nodes[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return ports[port]
        raise LookupError(f"no node serves slot {slot}")

    def wait_until_ok(self, seconds: float = START_SECONDS) -> None:
        """Every node sees all the others and every slot served.

        Raises:
            ServerStartError: not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not all(self._is_ok(node) for node in self.nodes):
            if time.monotonic() > deadline:
                raise ServerStartError(f"the cluster is not ok:\n{self.nodes[0].command('CLUSTER', 'INFO')}")
            time.sleep(_POLL_SECONDS)

    def _form(self) -> None:
        count = len(self.nodes)
        bounds = [SLOTS * number // count for number in range(count + 1)]
        for number, node in enumerate(self.nodes):
            # An epoch of its own each: equal ones would have to be sorted out first.
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.command("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
        for node in self.nodes[1:]:
            self.nodes[0].command("CLUSTER", "MEET", LOOPBACK, node.port)

    def _is_ok(self, node: RedisServer) -> bool:
        state = section(node.command("CLUSTER", "INFO"))
        # A fresh node calls itself ok as soon as its own slots are assigned, before it has met the others.
        return state["cluster_state"] == "ok" and state["cluster_slots_ok"] == str(SLOTS)
