"""Removal, quarantine and the search for garbage in a bucket."""

import secrets
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from sessionguard.core import points
from sessionguard.errors import InvalidArgumentError, LeaseLostError, MisuseError
from sessionguard.workspaces import Removal
from sessionguard.workspaces.contract import InspectedWorkspaces
from sessionguard.workspaces.s3 import S3Workspaces, bucket
from sessionguard.workspaces.s3.layout import new_content
from sessionguard.workspaces.s3.settings import SMALLEST_PART
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import DEPLOYMENT, Contents, Place

NOTHING = Removal(files=0, bytes=0, deferred=False)

Later = Callable[[timedelta], None]


@contextmanager
def interrupted_at(number: int) -> Iterator[None]:
    """Have the request of that number fail, as a crash would have it."""
    left = [number]

    def hook(label: str, resource: Hashable, mode: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            _ = 1 / 0

    with points.installed(hook):
        yield


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Let the clock of the server, by which ages are judged, be ahead of the instants at which it stored."""
    server_time = bucket._server_time

    def advance(by: timedelta) -> None:
        def advanced(reply: Any) -> Any:
            return server_time(reply) + by

        monkeypatch.setattr(bucket, "_server_time", advanced)

    return advance


def test_nothing_is_left_of_what_was_removed(workspaces: S3Workspaces, session_id: str, contents: Contents) -> None:
    """Files, contents without a name and unfinished uploads go; those of a session with a similar id stay."""
    sibling = session_id[:-1] + ("0" if session_id[-1] != "0" else "1")
    with workspaces.lease(sibling, UNLIMITED) as other:
        other.write("a", b"sibling")
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"12")
        workspace.write("b/c", b"345")
        workspace.write("a", b"6")
        unfinished = workspace.open("d", "wb")
        unfinished.write(bytes(SMALLEST_PART + 1))
        assert contents.uploads() == 1

        assert workspaces.remove(session_id) == Removal(files=2, bytes=4, deferred=False)

        assert contents.keys(session_id) == []
        assert contents.uploads() == 0
        with pytest.raises(LeaseLostError):
            workspace.write("e", b"late")
        with pytest.raises(LeaseLostError):
            workspace.list()
    assert workspaces.remove(session_id) == NOTHING
    assert contents.keys(session_id) == []
    with workspaces.lease(sibling, UNLIMITED) as other:
        assert other.read("a") == b"sibling"


def test_no_late_publication_brings_a_removed_workspace_back(workspaces: S3Workspaces, session_id: str) -> None:
    """Who leased it before its removal is refused, even when it was made anew since."""
    with workspaces.lease(session_id, UNLIMITED) as former:
        file = former.open("a", "wb")
        file.write(b"late")
        workspaces.remove(session_id)
        with workspaces.lease(session_id, UNLIMITED) as anew:
            with pytest.raises(LeaseLostError, match="made anew"):
                file.close()
            with pytest.raises(LeaseLostError):
                former.list()
            assert anew.list() == []


def test_candidates_go_through_all_sessions(workspaces: S3Workspaces, contents: Contents) -> None:
    """Each call gives as many as asked for and goes on where the last stopped; all are met once a round."""
    ids = sorted(secrets.token_hex(17) for _ in range(7))
    for session_id in ids:
        with workspaces.lease(session_id, UNLIMITED) as workspace:
            workspace.write("a", b"1")

    met = [found for _ in range(4) for found in workspaces.candidates(2)]
    assert len(met) == 8
    assert set(met) == set(ids)
    assert sorted(workspaces.candidates(100)) == ids
    assert sorted(workspaces.candidates(7, DEPLOYMENT)) == ids
    with pytest.raises(MisuseError):
        workspaces.candidates(7, "another")
    with pytest.raises(InvalidArgumentError):
        workspaces.candidates(0)


def test_what_no_manifest_names_goes_after_a_day(
    workspaces: S3Workspaces, session_id: str, contents: Contents, later: Later
) -> None:
    """Contents and uploads of crashed writers stay for a day and then go; what has a name stays whatever its age."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        key = contents.layout.content(session_id, new_content())
        contents.bucket.put(key, b"of a writer that crashed")
        contents.bucket.put_part(key, contents.bucket.begin_parts(key), 1, b"1")
        contents.bucket.put(contents.layout.content(session_id, "of somebody else"), b"2")

        later(timedelta(hours=23))
        workspaces.candidates(10)
        assert len(contents.keys(session_id)) == 4
        assert contents.uploads() == 1

        later(timedelta(hours=25))
        assert workspaces.candidates(10) == [session_id]
        assert contents.uploads() == 0
        assert len(contents.keys(session_id)) == 3
        assert "of somebody else" in contents.keys(session_id)
        assert workspace.read("a") == b"1"


def test_a_writer_that_was_taken_for_dead_is_refused(
    workspaces: S3Workspaces, session_id: str, contents: Contents, later: Later
) -> None:
    """Whoever finishes a file after its content was removed is told, and no name without a content is left."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        file = workspace.open("a", "wb")
        file.write(bytes(2 * SMALLEST_PART + 1))
        uploading: Any = file
        uploading._uploading.finish()
        uploading._uploading.finish = lambda: None
        later(timedelta(hours=25))
        workspaces.candidates(10)
        assert contents.keys(session_id) == ["manifest"]
        with pytest.raises(Exception, match="given up"):
            file.close()
        assert workspace.list() == []


def test_what_was_replaced_or_deleted_goes_after_an_hour(
    workspaces: S3Workspaces, session_id: str, contents: Contents, later: Later
) -> None:
    """Its readers have an hour; then a sweep, or the next change, removes the content."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        workspace.write("a", b"2")
        workspace.delete("a")
        assert len(contents.keys(session_id)) == 3
        later(timedelta(minutes=59))
        workspaces.candidates(10)
        assert len(contents.keys(session_id)) == 3
        later(timedelta(minutes=61))
        workspaces.candidates(10)
        assert contents.keys(session_id) == ["manifest"]


def test_the_next_change_removes_what_is_due(place: Place, session_id: str, contents: Contents) -> None:
    """No sweep is needed where somebody writes."""
    now = [1e9]
    with place(clock=lambda: now[0]).lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        workspace.write("a", b"2")
        now[0] += 3601
        workspace.write("b", b"3")
        assert len(contents.keys(session_id)) == 3


def test_a_lost_session_is_kept_out_of_reach_for_thirty_days(
    workspaces: S3Workspaces, session_id: str, contents: Contents, later: Later
) -> None:
    """It begins anew, no removal takes what was kept; after thirty days a search for garbage removes it."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        file = workspace.open("b", "wb")
        assert not workspaces.quarantine(session_id)
        file.close()
        assert workspaces.quarantine(session_id)
        with pytest.raises(LeaseLostError, match="quarantine"):
            workspace.read("a")
        assert not workspaces.quarantine(session_id)
        assert workspaces.candidates(10) == []
        kept = set(contents.keys(session_id))
        assert len(kept) == 4
        with workspaces.lease(session_id, UNLIMITED) as anew:
            assert anew.list() == []
            anew.write("a", b"123")
            with pytest.raises(LeaseLostError, match="made anew"):
                workspace.list()

    assert workspaces.candidates(10) == [session_id]
    assert workspaces.remove(session_id) == Removal(files=1, bytes=3, deferred=False)
    assert workspaces.remove(session_id) == NOTHING
    later(timedelta(days=29))
    assert workspaces.candidates(10) == []
    assert set(contents.keys(session_id)) == kept
    later(timedelta(days=31))
    assert workspaces.candidates(10) == []
    assert contents.keys(session_id) == []


def test_quarantine_ends_beside_one_who_began_anew(
    workspaces: S3Workspaces, session_id: str, contents: Contents, later: Later
) -> None:
    """What was kept goes after thirty days, and the files that came since stay."""
    for data in (b"1", b"22"):
        with workspaces.lease(session_id, UNLIMITED) as workspace:
            workspace.write("a", data)
        assert workspaces.quarantine(session_id)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"333")
        assert len(contents.keys(session_id)) == 5
        later(timedelta(days=31))
        for _ in range(2):
            assert workspaces.candidates(10) == [session_id]
        assert len(contents.keys(session_id)) == 3
        assert workspace.read("a") == b"333"


def test_there_is_nothing_to_keep_of_a_workspace_without_files(
    workspaces: S3Workspaces, session_id: str, contents: Contents
) -> None:
    """One that a lease made for a session that was gone is removed instead; where there is none, nothing is made."""
    assert not workspaces.quarantine(session_id)
    with workspaces.lease(session_id, UNLIMITED):
        pass
    assert not workspaces.quarantine(session_id)
    assert contents.keys() == []


def test_a_dry_run_tells_what_a_removal_would_do(workspaces: S3Workspaces, session_id: str, contents: Contents) -> None:
    """As `remove` tells it afterwards, and nothing is removed."""
    assert isinstance(workspaces, InspectedWorkspaces)
    assert workspaces.measure(session_id) == NOTHING
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        for name, data in (("a", b"1"), ("a", b"22"), ("b/c", b"333")):
            workspace.write(name, data)
        before = contents.keys()
        assert workspaces.measure(session_id) == Removal(files=2, bytes=5, deferred=False)
        assert contents.keys() == before
        assert workspaces.remove(session_id) == Removal(files=2, bytes=5, deferred=False)
    assert workspaces.measure(session_id) == NOTHING
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
    workspaces.quarantine(session_id)
    assert workspaces.measure(session_id) == workspaces.remove(session_id) == NOTHING


def test_a_dry_run_names_what_the_next_search_would(workspaces: S3Workspaces, contents: Contents, later: Later) -> None:
    """The same sessions in the same order, and neither the search nor the bucket has moved on."""
    ids = [secrets.token_hex(17) for _ in range(6)]
    for session_id in ids:
        with workspaces.lease(session_id, UNLIMITED) as workspace:
            workspace.write("a", b"1")
            workspace.delete("a")
            workspace.write("b", b"1")
    workspaces.quarantine(ids[0])
    with interrupted_at(4), pytest.raises(ZeroDivisionError):
        workspaces.remove(ids[1])
    later(timedelta(hours=2))
    before = contents.keys()
    for _ in range(4):
        told = workspaces.leftovers(4, DEPLOYMENT)
        assert (told, before) == (workspaces.leftovers(4), contents.keys())
        assert workspaces.candidates(4) == told
        before = contents.keys()
    assert sorted(workspaces.leftovers(10)) == sorted(ids[2:])
    with pytest.raises(MisuseError):
        workspaces.leftovers(7, "another")
    with pytest.raises(InvalidArgumentError):
        workspaces.leftovers(0)


def test_young_is_what_the_server_stored_a_while_ago(
    workspaces: S3Workspaces, session_id: str, contents: Contents, later: Later
) -> None:
    """By any object of the session, and the server's clock or the one that is given; not if it is on its way out."""
    hour = timedelta(hours=1)
    assert not workspaces.is_young(session_id, hour, None)
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
    stored_at = max(
        found.changed_at for found in contents.bucket.page(contents.layout.session(session_id), None).objects
    )
    assert workspaces.is_young(session_id, hour, None)
    assert workspaces.is_young(session_id, hour, stored_at - hour)
    assert workspaces.is_young(session_id, hour, stored_at + hour - timedelta(seconds=1))
    assert not workspaces.is_young(session_id, hour, stored_at + hour)
    later(hour + timedelta(minutes=1))
    assert not workspaces.is_young(session_id, hour, None)
    assert workspaces.is_young(session_id, 2 * hour, None)
    contents.bucket.delete([contents.layout.manifest(session_id)])
    assert workspaces.is_young(session_id, 2 * hour, None)

    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
    with interrupted_at(4), pytest.raises(ZeroDivisionError):
        workspaces.remove(session_id)
    assert contents.keys(session_id)
    assert not workspaces.is_young(session_id, 2 * hour, None)


def test_deployments_share_a_prefix_and_nothing_else(place: Place, session_id: str) -> None:
    """The same session id in another deployment is another workspace."""
    one, other = place(), place()
    other.open("deployment two")
    with one.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
    assert other.candidates(10) == []
    assert other.remove(session_id) == NOTHING
    with one.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == ["a"]


def test_unopened_workspaces_say_so(place: Place, session_id: str) -> None:
    """Before `open` there is no deployment to work in."""
    unopened = S3Workspaces(place().settings)
    for call in (lambda: unopened.lease(session_id, UNLIMITED), lambda: unopened.remove(session_id)):
        with pytest.raises(MisuseError, match="open"):
            call()
