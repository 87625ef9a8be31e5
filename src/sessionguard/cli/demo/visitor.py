"""One simulated user with one workflow: uploads, asks for the analysis, downloads, and remembers what came back."""

import http.client
import urllib.parse
from collections.abc import Callable

from attrs import define, field

from sessionguard.cli.demo.browser import Browser, Page
from sessionguard.cli.demo.datasets import Dataset
from sessionguard.cli.demo.markers import markers_in


@define
class Visitor:
    """A user in one workflow of one browser. It knows its own data, and only what the app sent it."""

    label: str
    user: str
    browser: Browser
    dataset: Dataset
    session_id: str | None = None
    """The id the app named in its answer to this upload."""
    upload_worker: str | None = None
    workers: list[str] = field(factory=list)
    """Every worker that answered, the first first."""
    told: str = ""
    """The sentence of the analysis."""
    received: set[str] = field(factory=set)
    """Every marker in anything the app sent."""
    downloads: dict[str, bytes] = field(factory=dict)
    """Every file that the app offered, as it came back."""
    was_lent: bool | None = None
    """Whether the app answered when asked with another user's id; None if that was not tried."""
    problem: str | None = None
    """Why the workflow could not be finished."""

    def attempt(self, step: Callable[["Visitor"], None]) -> None:
        """Take one step unless an earlier one failed; a failure is remembered, not raised."""
        if self.problem is not None:
            return
        try:
            step(self)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            self.problem = str(error) or type(error).__name__

    def log_in(self) -> None:
        """Say who is there."""
        self._accept("/login", self.browser.post("/login", {"user": self.user}))

    def upload(self) -> None:
        """Send the files, with the id that the browser happens to remember, as the incident's front end did."""
        remembered = self.browser.local_storage.get("session_id", "")
        page = self._accept("/upload", self.browser.post("/upload", {"session_id": remembered}, self.dataset.files))
        self.upload_worker = page.served_by
        self.session_id = str(page.json()["session_id"])
        self.browser.local_storage["session_id"] = self.session_id

    def read_back(self) -> None:
        """Ask for the analysis, then download every file that the app offers."""
        self.told = str(self._get("/analysis").json()["message"])
        names = self._get("/files").json()["files"]
        for name in names:
            self.downloads[name] = self._get(f"/files/{urllib.parse.quote(name)}").content

    def borrow(self, session_id: str) -> None:
        """Ask for the analysis of a session that belongs to somebody else."""
        page = self.browser.get("/analysis", {"session_id": session_id})
        self.received |= markers_in(page.content)
        self.was_lent = page.status == http.client.OK

    def _get(self, path: str) -> Page:
        return self._accept(path, self.browser.get(path, {"session_id": self.session_id or ""}))

    def _accept(self, path: str, page: Page) -> Page:
        self.received |= markers_in(page.content)
        if page.served_by not in self.workers:
            self.workers.append(page.served_by)
        if page.status != http.client.OK:
            raise ValueError(f"{path} was answered {page.status}")
        return page
