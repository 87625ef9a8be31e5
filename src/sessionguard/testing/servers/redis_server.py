"""One Redis server: alone, or the replica of another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sessionguard.testing.servers.installations import Installation, find_redis
from sessionguard.testing.servers.ports import LOOPBACK, free_port
from sessionguard.testing.servers.redis_wire import RedisLine, RedisReplyError, section
from sessionguard.testing.servers.running import Server

Setting = str | int | Sequence[str]
"""A value of redis.conf; a sequence repeats the line."""


class RedisServer(Server):
    """A Redis on loopback.

    With `appendonly="everysec"` or `"always"` its data survive `kill` and `restart`; with `"no"` a restarted server is
    empty. `config` holds further lines of redis.conf. `replica_of` makes it a replica: started when it is in step.
    Its data lie in a private folder that is made in `place`.
    """

    def __init__(
        self,
        *,
        appendonly: Literal["no", "everysec", "always"] = "everysec",
        config: Mapping[str, Setting] | None = None,
        password: str | None = None,
        replica_of: "RedisServer | None" = None,
        binaries: Installation | None = None,
        place: Path | None = None,
    ) -> None:
        super().__init__(binaries or find_redis(), place=place)
        self.password: str | None = password if replica_of is None else replica_of.password
        self._appendonly = appendonly
        self._config = dict(config or {})
        self._primary = replica_of

    @property
    def url(self) -> str:
        """The store URL of this server; it stays the same over restarts."""
        credentials = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return f"redis://{credentials}{LOOPBACK}:{self.port}/0"

    def command(self, *words: str | bytes | int) -> Any:
        """Give the reply of the running server to one command, over a connection of its own.

        Raises:
            RedisReplyError: the server refused it.
        """
        with RedisLine(self.port, self.password) as line:
            return line.command(*words)

    def info(self, name: str) -> dict[str, str]:
        """Give one section of INFO."""
        return section(self.command("INFO", name))

    def flush(self) -> None:
        """Everything that was stored in the running server is gone."""
        self.command("FLUSHALL")

    def _prepare(self, folder: Path) -> None:
        append = self._appendonly
        settings: dict[str, Setting] = {
            "bind": LOOPBACK,
            "port": self.port,
            "dir": str(folder),
            "daemonize": "no",
            "save": '""',
            "appendonly": "no" if append == "no" else "yes",
            "appendfsync": "everysec" if append == "no" else append,
        }
        if self.password is not None:
            settings |= {"requirepass": quoted(self.password), "masterauth": quoted(self.password)}
        if self._primary is not None:
            # Without the delay a full copy for a new replica begins at once.
            settings |= {"replicaof": f"{LOOPBACK} {self._primary.port}"}
        settings |= {"repl-diskless-sync-delay": 0} | self._config
        write_settings(folder / "redis.conf", settings)

    def _command(self, folder: Path) -> list[str]:
        return [str(self.installation.server), str(folder / "redis.conf")]

    def _is_ready(self) -> bool:
        try:
            with RedisLine(self.port, self.password, seconds=1.0) as line:
                state = section(line.command("INFO"))
        except RedisReplyError:
            return False
        # Another server may have the port; and INFO is answered while the data are loaded, when nothing else is.
        if state["process_id"] != str(self.pid) or state["loading"] != "0":
            return False
        # A fail-over may have made the replica a primary since.
        return state["role"] == "master" or state["master_link_status"] == "up" or self._has_served

    def _pick_port(self) -> int:
        return free_port()


def write_settings(path: Path, settings: Mapping[str, Setting]) -> None:
    """Write a redis.conf."""
    lines = []
    for name, value in settings.items():
        values = [str(value)] if isinstance(value, str | int) else value
        lines += [f"{name} {one}\n" for one in values]
    path.write_text("".join(lines), encoding="utf-8")


def quoted(text: str) -> str:
    """Give `text` as one word of a redis.conf, whatever it holds."""
    plain = range(33, 127)
    bytes_ = (chr(byte) if byte in plain and byte not in b'"\\' else f"\\x{byte:02x}" for byte in text.encode())
    return f'"{"".join(bytes_)}"'
