"""The servers of these tests leave nothing behind."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from sessionguard.testing import ChildProcess
from sessionguard.testing.servers.trees import children_of, is_gone
from tests.adapters.served.fronts import Front
from tests.adapters.served.gates import SECONDS
from tests.adapters.served.serving import WORKERS

pytestmark = pytest.mark.processes


def serve(pipe: Connection, place: Path) -> None:
    """Serve, and say which processes do."""
    front = Front("fastapi-uvicorn", place, None)
    front.start()
    pipe.send([front.server.pid, *children_of(front.server.pid)])
    pipe.recv()


def test_a_killed_test_run_leaves_no_worker(tmp_path: Path) -> None:
    """Where the process that started a server is killed, its workers end as well, which would go on without it."""
    with ChildProcess(serve, tmp_path) as child:
        pids = child.hear()
        assert len(pids) > WORKERS
        assert not any(map(is_gone, pids))
        child.kill()
        deadline = time.monotonic() + SECONDS
        while not all(map(is_gone, pids)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
