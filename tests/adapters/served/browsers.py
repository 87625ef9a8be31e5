"""A real browser without a window: Debian's Chromium, driven by the driver that comes with it."""

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

from sessionguard.testing.servers.errors import EngineMissingError
from sessionguard.testing.servers.ports import LOOPBACK, free_port
from sessionguard.testing.servers.running import Server
from tests.adapters.served.gates import SECONDS
from tests.adapters.served.serving import system_program

# Nothing but what a test asks for is to leave the machine, or to be asked of a machine without a network.
_FLAGS = (
    "--headless", "--no-first-run", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
    # Over a pipe, so that the browser ends with its driver, however that ends.
    "--remote-debugging-pipe",
)  # fmt: skip


class ChromeDriver(Server):
    """The driver of Chromium; the browsers that it starts end with it."""

    def __init__(self) -> None:
        super().__init__(system_program("chromedriver", "chromium-driver", "--version"))
        self._chromium = shutil.which("chromium")
        if self._chromium is None:
            raise EngineMissingError("chromium", "it is not installed", "apt-get install chromium")

    @property
    def url(self) -> str:
        """Where it is told what to do."""
        return f"http://{LOOPBACK}:{self.port}"

    def flush(self) -> None:
        """Each browser begins with nothing."""

    @contextmanager
    def browser(self) -> Iterator[webdriver.Remote]:
        """Give a browser with a profile of its own, with nothing in it."""
        options = webdriver.ChromeOptions()
        assert self._chromium is not None
        options.binary_location = self._chromium
        for flag in _FLAGS:
            options.add_argument(flag)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # it does not start as root otherwise
        browser = webdriver.Remote(self.url, options=options)
        try:
            browser.set_page_load_timeout(SECONDS)
            browser.set_script_timeout(SECONDS)
            yield browser
        finally:
            browser.quit()

    def _prepare(self, folder: Path) -> None:
        # Profiles go here, and so with the driver.
        (folder / "temporary").mkdir()

    def _command(self, folder: Path) -> list[str]:
        place = [f"TMPDIR={folder / 'temporary'}", f"HOME={folder}"]
        return ["/usr/bin/env", *place, str(self.installation.server), f"--port={self.port}"]

    def _is_ready(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/status", timeout=5) as answer:
            return bool(json.load(answer)["value"]["ready"])

    def _pick_port(self) -> int:
        return free_port()
