"""Workspaces in a bucket of a real server, each test below a prefix of its own."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from sessionguard.testing.faults import TcpProxy
from sessionguard.testing.servers import S3Server
from sessionguard.workspaces.s3 import S3Workspace, S3Workspaces, open_s3
from sessionguard.workspaces.s3.layout import Layout
from tests.conftest import installed
from tests.workspaces.conftest import UNLIMITED

DEPLOYMENT = "deployment one"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 that all tests of this process share; use `place`, and leave it running."""
    with installed(S3Server) as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the server takes, and none of whoever runs the tests."""
    for name, value in s3_server.credentials.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


Place = Callable[..., S3Workspaces]


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test of this process has."""
    return f"t{next(_numbers)}"


@pytest.fixture
def place(s3_server: S3Server, prefix: str) -> Place:
    """Make workspaces below the prefix of this test, as another process would, and open them."""

    def make(endpoint: str | None = None, *, clock: Callable[[], float] | None = None, **options: str) -> S3Workspaces:
        endpoint = endpoint or s3_server.endpoint
        made = open_s3(f"s3://sessions/{prefix}", {"endpoint": endpoint, **options})
        if clock is not None:
            made = S3Workspaces(made.settings, clock=clock)
        made.open(DEPLOYMENT)
        return made

    return make


@pytest.fixture
def workspaces(place: Place) -> S3Workspaces:
    """Open workspaces of one deployment."""
    return place()


@pytest.fixture
def workspace(workspaces: S3Workspaces, session_id: str) -> Iterator[S3Workspace]:
    """A leased workspace without limits."""
    with workspaces.lease(session_id, UNLIMITED) as leased:
        yield leased


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[TcpProxy]:
    """A network to the server that can be made bad."""
    with TcpProxy("127.0.0.1", s3_server.port) as made:
        yield made


class Contents:
    """What lies in the bucket below the prefix of a test, seen past all workspaces."""

    def __init__(self, workspaces: S3Workspaces) -> None:
        self.bucket = workspaces._bucket
        self.layout = Layout.of(workspaces.settings.prefix, DEPLOYMENT)

    def keys(self, session_id: str | None = None) -> list[str]:
        """Give the keys of one session, or of all, without what they begin with."""
        prefix = self.layout.folder if session_id is None else self.layout.session(session_id)
        return [found.key.removeprefix(prefix) for found in self.bucket.page(prefix, None).objects]

    def uploads(self) -> int:
        """Count unfinished uploads."""
        return len(self.bucket.uploads(self.layout.folder, None, 1000)[0])


@pytest.fixture
def contents(workspaces: S3Workspaces) -> Contents:
    """Look into the bucket itself."""
    return Contents(workspaces)
