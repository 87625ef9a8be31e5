"""Whose clock judges ages in a bucket: that of the server, whatever the machine of a client says."""

import time
from datetime import UTC, datetime

import pytest

from sessionguard.errors import QuotaExceededError
from sessionguard.workspaces import Quota, Usage
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.dating import ServerClock
from tests.workspaces.s3.conftest import DEPLOYMENT, Contents


def test_a_machine_that_is_ahead_takes_nothing_from_those_who_live(
    workspaces: S3Workspaces, session_id: str, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own clock their claims had lapsed, and what they replaced was due."""
    truly = time.time
    with workspaces.lease(session_id, Quota(bytes=100)) as workspace:
        for data in (b"1", b"2"):
            workspace.write("a", data)
        file = workspace.open("b", "wb")
        file.write(bytes(90))
        monkeypatch.setattr(time, "time", lambda: truly() + 7200)
        ahead = S3Workspaces(workspaces.settings)
        ahead.open(DEPLOYMENT)
        with ahead.lease(session_id, Quota(bytes=100)) as other:
            with pytest.raises(QuotaExceededError):
                other.write("c", bytes(90))
            other.write("d", b"3")
        file.close()
        assert workspace.usage() == Usage(92, 3)
        assert len(contents.keys(session_id)) == 5


def test_the_time_is_counted_on_from_what_the_server_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before that, and where it tells nothing or nonsense, it is the time of this machine."""
    monkeypatch.setattr(time, "time", lambda: 5.0)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    clock = ServerClock()
    for headers in ({}, {"date": "yesterday"}):
        clock.hear(headers)
        assert clock.now() == 5.0
    clock.hear({"date": "Sat, 21 Nov 2026 23:00:00 GMT"})
    monkeypatch.setattr(time, "monotonic", lambda: 103.5)
    told = datetime(2026, 11, 21, 23, tzinfo=UTC).timestamp()
    assert clock.now() == told + 3.5
    clock.hear({"date": "Sat, 21 Nov 2026 22:59:00 GMT"})
    assert clock.now() == told - 60
