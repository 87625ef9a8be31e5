"""One Redis sentinel that watches a primary and makes a replica the next primary when it is down."""

from pathlib import Path
from typing import Any

from sessionguard.testing.servers.ports import LOOPBACK, free_port
from sessionguard.testing.servers.redis_server import RedisServer, Setting, quoted, write_settings
from sessionguard.testing.servers.redis_wire import RedisLine, RedisReplyError, section
from sessionguard.testing.servers.running import Server


class RedisSentinel(Server):
    """A sentinel over `primary`; started when it knows `replicas` replicas. It decides alone (quorum 1)."""

    def __init__(
        self, primary: RedisServer, *, service: str = "sessions", replicas: int = 1, down_after_ms: int = 500
    ) -> None:
        super().__init__(primary.installation)
        self.service = service
        self._primary = primary
        self._replicas = replicas
        self._down_after_ms = down_after_ms

    @property
    def url(self) -> str:
        """The store URL: the sentinel, the service, the database."""
        return f"redis+sentinel://{LOOPBACK}:{self.port}/{self.service}/0"

    @property
    def primary_port(self) -> int:
        """The port of the server that is the primary now, as the sentinel says."""
        _, port = self.command("SENTINEL", "get-master-addr-by-name", self.service)
        return int(port)

    def command(self, *words: str | bytes | int) -> Any:
        """Give the reply of the sentinel to one command.

        Raises:
            RedisReplyError: the sentinel refused it.
        """
        with RedisLine(self.port) as line:
            return line.command(*words)

    def flush(self) -> None:
        """A sentinel stores nothing."""

    def _prepare(self, folder: Path) -> None:
        name = self.service
        lines = [
            f"monitor {name} {LOOPBACK} {self._primary.port} 1",
            f"down-after-milliseconds {name} {self._down_after_ms}",
            f"failover-timeout {name} 5000",
        ]
        if self._primary.password is not None:
            # Written back by the sentinel itself without quotes, so only plain passwords survive its restart.
            lines.append(f"auth-pass {name} {quoted(self._primary.password)}")
        settings: dict[str, Setting] = {"bind": LOOPBACK, "port": self.port, "dir": str(folder), "daemonize": "no"}
        write_settings(folder / "sentinel.conf", settings | {"sentinel": lines})

    def _command(self, folder: Path) -> list[str]:
        return [str(self.installation.server), str(folder / "sentinel.conf"), "--sentinel"]

    def _is_ready(self) -> bool:
        try:
            with RedisLine(self.port, seconds=1.0) as line:
                # Another server may have the port.
                if section(line.command("INFO", "server"))["process_id"] != str(self.pid):
                    return False
                if self._has_served:
                    return True
                known = line.command("SENTINEL", "replicas", self.service)
                ready = [fields for one in known if (fields := _pairs(one)).get("master-link-status") == "ok"]
                return len(ready) >= self._replicas
        except RedisReplyError:
            return False

    def _pick_port(self) -> int:
        return free_port()


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
