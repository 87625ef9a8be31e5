"""One connection to Redis over a plain socket: sends a command and reads its reply, no driver needed."""

from typing import Any

from sessionguard.testing.servers.loopback_line import LoopbackLine

ANSWER_SECONDS = 10.0


class RedisReplyError(Exception):
    """The server answered with an error."""


class RedisLine(LoopbackLine):
    """A connection to the Redis on `port` of loopback."""

    def __init__(self, port: int, password: str | None = None, seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(port, seconds)
        if password is not None:
            with self._signing_in():
                self.command("AUTH", password)

    def command(self, *words: str | bytes | int) -> Any:
        """Give the reply to one command: text, a number, a list or None.

        Raises:
            RedisReplyError: the server refused it.
            OSError: the connection failed.
        """
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self._send(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self._reply()

    def _reply(self) -> Any:
        line = self._read_line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest.decode()
            case b":":
                return int(rest)
            case b"-":
                raise RedisReplyError(rest.decode(errors="replace"))
            case b"$":
                size = int(rest)
                return None if size < 0 else self._read(size + 2)[:-2].decode(errors="surrogateescape")
            case b"*":
                return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        raise ConnectionError(f"not a reply of Redis: {line!r}")


def section(text: str) -> dict[str, str]:
    """Give the `name:value` lines of INFO and CLUSTER INFO as a dictionary."""
    pairs = (line.strip().partition(":") for line in text.splitlines() if ":" in line)
    return {name: value for name, _, value in pairs}
