"""A signal handler that raises in the middle of a call, as the servers of web applications have it."""

from pathlib import Path

import pytest

from sessionguard.testing import Profile
from sessionguard.testing.faults import ChildProcess
from tests.stores.file.inspecting import disorder
from tests.stores.file.workers import be_interrupted


@pytest.mark.processes
def test_t04_a_call_may_be_interrupted_anywhere(path: Path, sg_profile: Profile) -> None:
    """Wherever the handler raises, no lock and no place in a queue is left behind, and no operation half done."""
    with ChildProcess(be_interrupted, str(path), sg_profile.seconds) as child:
        aftermath = child.hear()
    assert aftermath.interrupted > 10
    assert aftermath.failures == []
    assert aftermath.queues == 0
    assert aftermath.locks_free
    assert aftermath.version is not None
    assert disorder(path) == []
