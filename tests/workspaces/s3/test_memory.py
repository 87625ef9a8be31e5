"""Large files go in and out in bounded memory."""

import os
import subprocess
import sys
from typing import Final

import pytest

from sessionguard.testing import Profile
from tests.workspaces.s3.conftest import Place

MEBIBYTE: Final = 1024 * 1024
_MOST_MEMORY: Final = 32 * MEBIBYTE
_PROGRAM: Final = """
import hashlib, resource, sys
from sessionguard.workspaces import Quota
from sessionguard.workspaces.s3 import open_s3

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

prefix, endpoint, session_id, count = sys.argv[1:]
workspaces = open_s3(f"s3://sessions/{prefix}", {"endpoint": endpoint})
workspaces.open("deployment one")
with workspaces.lease(session_id, Quota(bytes=2 ** 40)) as workspace:
    # What is loaded with the first request and the first thread counts for nothing here.
    workspace.write("small", b"1")
    workspace.read("small")
    before, mebibyte, written, read = peak(), bytes(range(256)) * 4096, hashlib.sha256(), hashlib.sha256()
    with workspace.open("large", "wb") as file:
        for number in range(int(count)):
            chunk = number.to_bytes(8, "big") + mebibyte[8:]
            written.update(chunk)
            file.write(chunk)
    with workspace.open("large") as file:
        while chunk := file.read(1024 * 1024):
            read.update(chunk)
    assert written.digest() == read.digest()
    print(peak() - before)
"""


@pytest.mark.processes
def test_a_gigabyte_goes_in_and_out_in_32_megabytes(
    place: Place, prefix: str, session_id: str, sg_profile: Profile
) -> None:
    """A process that streams a file into a workspace and out again grows by less than 32 MiB, whatever its size."""
    count = 64 if sg_profile.name == "ci" else 1024
    endpoint = place().settings.endpoint
    assert endpoint is not None
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, prefix, endpoint, session_id, str(count)],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, done.stderr

    assert int(done.stdout) < _MOST_MEMORY
