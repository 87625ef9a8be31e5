"""What is asked of a bucket: no more than is needed, because each request costs money and a way there and back."""

from collections.abc import Callable, Hashable
from datetime import timedelta

from sessionguard.core import points
from sessionguard.workspaces.quota import NOTHING
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.layout import new_content
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents
from tests.workspaces.s3.test_cleaning import Later, later

__all__ = ["later"]


def requests_of(act: Callable[[], object]) -> list[str]:
    """Give the requests that are made."""
    made: list[str] = []

    def hook(label: str, resource: Hashable, mode: str) -> None:
        made.append(label)

    with points.installed(hook):
        act()
    return made


def test_the_end_of_a_session_without_files_costs_one_request(workspaces: S3Workspaces, session_id: str) -> None:
    """And of one with files as few as keep a crash between any two of them from leaving something for ever."""
    assert requests_of(lambda: workspaces.remove(session_id)) == ["list"]
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
    asked = ["list", "get", "swap", "list parts", "list", "delete", "delete"]
    assert requests_of(lambda: workspaces.remove(session_id)) == asked


def test_what_was_found_to_be_garbage_costs_one_pass(
    workspaces: S3Workspaces, session_id: str, contents: Contents, later: Later
) -> None:
    """Nothing is left in the manifest of contents that were removed, so the next pass changes nothing."""
    workspaces.lease(session_id, UNLIMITED).close()
    contents.bucket.put(contents.layout.content(session_id, new_content()), b"of a writer that crashed")
    later(timedelta(hours=25))
    assert "delete" in requests_of(lambda: workspaces.candidates(10))
    assert contents.keys(session_id) == ["manifest"]
    again = [requests_of(lambda: workspaces.candidates(10)) for _ in range(2)]
    assert {request for asked in again for request in asked} == {"list", "get", "list parts"}


def test_forgotten_claims_are_not_kept(workspaces: S3Workspaces, session_id: str) -> None:
    """A lease that lives for long, and whose files are often given up, grows by none of them."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        for _ in range(3):
            workspace._ledger.forget(workspace._ledger.begin(["a"], NOTHING, replace=True))
        workspace.write("b", b"1")
        assert workspace._ledger._forgotten == set()
        assert workspace._ledger.look().claims == {}
