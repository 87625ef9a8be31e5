"""What goes wrong with one session of a bucket, or lies in it by another's hand: the search for garbage goes on."""

import logging
import secrets
from collections.abc import Sequence
from datetime import timedelta

import pytest

from sessionguard.errors import ConfigurationError, WorkspaceUnavailableError
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.bucket import Bucket
from sessionguard.workspaces.s3.layout import new_content
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place
from tests.workspaces.s3.test_cleaning import Later, later

__all__ = ["later"]

A_WHILE = timedelta(hours=25)


@pytest.fixture
def ids() -> list[str]:
    """Give three sessions, in the order of a listing."""
    return sorted(secrets.token_hex(17) for _ in range(3))


def abandon_an_upload(contents: Contents, key: str) -> None:
    """Leave one behind as a crash does."""
    contents.bucket.put_part(key, contents.bucket.begin_parts(key), 1, b"1")


def test_a_damaged_manifest_keeps_nobody_elses_garbage(
    workspaces: S3Workspaces,
    ids: list[str],
    contents: Contents,
    later: Later,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told and left, with its uploads; what died elsewhere goes, and all sessions are asked about."""
    for session_id in ids:
        with workspaces.lease(session_id, UNLIMITED) as workspace:
            workspace.write("a", b"1")
        abandon_an_upload(contents, contents.layout.content(session_id, new_content()))
        contents.bucket.put(contents.layout.content(session_id, new_content()), b"of a writer that crashed")
    contents.bucket.put(contents.layout.manifest(ids[0]), b"{}")

    later(A_WHILE)
    with caplog.at_level(logging.WARNING):
        assert sorted(workspaces.candidates(10)) == ids

    assert "cannot be read" in caplog.text
    assert contents.uploads() == 1
    assert [len(contents.keys(session_id)) for session_id in ids] == [3, 2, 2]


def test_uploads_of_others_are_left_alone(
    workspaces: S3Workspaces, ids: list[str], contents: Contents, later: Later
) -> None:
    """What has no key as we give them, below our folder or in a session's, is not ours to end."""
    for key in (contents.layout.folder + "notes/hello", contents.layout.content(ids[0], "of somebody else")):
        abandon_an_upload(contents, key)
    abandon_an_upload(contents, contents.layout.content(ids[1], new_content()))
    later(A_WHILE)
    assert workspaces.candidates(10) == []
    assert contents.uploads() == 2


def test_what_cannot_be_removed_keeps_nobody_elses_garbage(
    workspaces: S3Workspaces, ids: list[str], contents: Contents, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A content that the bucket holds fast, and uploads that it does not show, are left to a later pass."""
    for session_id in ids:
        workspaces.lease(session_id, UNLIMITED).close()
        contents.bucket.put(contents.layout.content(session_id, new_content()), b"of a writer that crashed")
    delete = Bucket.delete

    def held_fast(bucket: Bucket, keys: Sequence[str]) -> None:
        if any(ids[0] in key for key in keys):
            raise WorkspaceUnavailableError(ids[0], "delete", "1 objects could not be removed (AccessDenied)")
        delete(bucket, keys)

    def not_shown(*arguments: object) -> None:
        raise ConfigurationError("workspaces", "S3, list parts: AccessDenied", "these credentials may not do that")

    monkeypatch.setattr(Bucket, "delete", held_fast)
    monkeypatch.setattr(Bucket, "uploads", not_shown)
    later(A_WHILE)
    assert sorted(workspaces.candidates(10)) == ids
    assert [len(contents.keys(session_id)) for session_id in ids] == [2, 1, 1]


def test_a_place_out_of_reach_is_not_waited_for_in_each_session(
    place: Place, ids: list[str], contents: Contents, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once what failed has cost the patience, the search ends and says why."""
    workspaces = place(patience="1")
    for session_id in ids:
        workspaces.lease(session_id, UNLIMITED).close()
    asked = []
    now = [0.0]

    def out_of_reach(bucket: Bucket, key: str, etag: str | None = None) -> None:
        asked.append(key)
        now[0] += 0.6
        raise WorkspaceUnavailableError(None, "get", "ConnectTimeoutError")

    monkeypatch.setattr(Bucket, "get", out_of_reach)
    monkeypatch.setattr("sessionguard.workspaces.s3.cleanup.time.monotonic", lambda: now[0])
    later(A_WHILE)
    with pytest.raises(WorkspaceUnavailableError, match="ConnectTimeout"):
        workspaces.candidates(10)
    assert len(asked) == 2
