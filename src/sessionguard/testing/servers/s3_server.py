"""One S3 on loopback: the server of moto, over HTTP."""

import sys
import urllib.error
import urllib.request
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sessionguard.testing.servers.errors import EngineMissingError
from sessionguard.testing.servers.installations import Installation
from sessionguard.testing.servers.ports import LOOPBACK, free_port
from sessionguard.testing.servers.running import Server

BUCKET: Final = "sessions"


def find_moto() -> Installation:
    """Give the moto of this Python.

    Raises:
        EngineMissingError: it is not installed.
    """
    if find_spec("moto") is None or find_spec("flask_cors") is None:
        raise EngineMissingError("moto", "it is not installed", "pip install 'moto[s3]' flask flask-cors")
    numbers = tuple(int(number) for number in version("moto").split(".")[:3])
    return Installation("moto", numbers, Path(sys.executable), "wheel")


class S3Server(Server):
    """An S3 with one empty bucket, `BUCKET`. What it holds is in memory: killed and started again, it is empty."""

    def __init__(self, *, place: Path | None = None) -> None:
        super().__init__(find_moto(), place=place)

    @property
    def credentials(self) -> dict[str, str]:
        """What must be in the environment of whoever uses it; any would do."""
        return {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of workspaces in its bucket; it stays the same over restarts."""
        return f"s3://{BUCKET}?endpoint={self.endpoint}"

    def flush(self) -> None:
        """Everything that was stored in the running server is gone, and the bucket is empty."""
        self._ask("POST", "/moto-api/reset")
        self._ask("PUT", f"/{BUCKET}")

    def start(self) -> None:
        """The server serves an empty bucket; a running one is left alone."""
        was_running = self.is_running
        super().start()
        if not was_running:
            self._ask("PUT", f"/{BUCKET}")

    def _prepare(self, folder: Path) -> None:
        # What is larger than its buffer goes to files of this folder, which goes with the server.
        (folder / "contents").mkdir()

    def _command(self, folder: Path) -> list[str]:
        # Through env, as a server takes the environment of the tests.
        settings = [f"TMPDIR={folder / 'contents'}", f"MOTO_PORT={self.port}"]
        program = [sys.executable, "-m", "sessionguard.testing.servers.s3_serving", str(self.port)]
        return ["/usr/bin/env", *settings, *program]

    def _is_ready(self) -> bool:
        self._ask("GET", "/moto-api/data.json")
        return True

    def _pick_port(self) -> int:
        return free_port()

    def _ask(self, method: str, path: str) -> None:
        # As the region of a request is read from its signature.
        signed = "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, SignedHeaders=, Signature="
        request = urllib.request.Request(f"{self.endpoint}{path}", method=method, headers={"Authorization": signed})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            opener.open(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"moto, {method} {path}: {error.code} {error.read()[:200]!r}") from error
