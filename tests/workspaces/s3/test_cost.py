"""What is asked of a bucket: no more than is needed, because each request costs money and a way there and back."""

from collections.abc import Callable, Hashable

from sessionguard.core import points
from sessionguard.workspaces.s3 import S3Workspaces
from tests.workspaces.conftest import UNLIMITED


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
