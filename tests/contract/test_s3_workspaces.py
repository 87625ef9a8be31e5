"""The contract of places for files, on object storage."""

import os
from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from sessionguard.testing import PlaceCapabilities, WorkspaceContract
from sessionguard.testing.servers import S3Server
from sessionguard.workspaces.s3 import S3Workspaces, open_s3
from tests.conftest import installed


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    """An S3 for the cases of this module."""
    with installed(S3Server) as server:
        yield server


def connected(credentials: Mapping[str, str], endpoint: str) -> S3Workspaces:
    """Connect to the bucket, in a child process as well: its parent may be older than what this test has set."""
    os.environ.update(credentials)
    return open_s3("s3://sessions/kit", {"endpoint": endpoint})


class TestS3Workspaces(WorkspaceContract):
    """Everything that a place for files promises, in a bucket."""

    capabilities = PlaceCapabilities(paths=False, leases=False)

    @pytest.fixture
    def make_workspaces(self, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> "partial[S3Workspaces]":
        """Connect to a bucket that is empty."""
        for name, value in s3_server.credentials.items():
            monkeypatch.setenv(name, value)
        s3_server.flush()
        return partial(connected, s3_server.credentials, s3_server.endpoint)
