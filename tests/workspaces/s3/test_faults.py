"""Bad networks at every request of a write: the old file or the new one, never half, and never an old one later."""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import pytest

from sessionguard.core import points
from sessionguard.errors import LeaseLostError, WorkspaceUnavailableError
from sessionguard.testing import Profile
from sessionguard.testing.faults import TcpProxy
from sessionguard.workspaces import OwnerQuota, Quota, Removal
from sessionguard.workspaces.s3 import S3Workspace, S3Workspaces
from sessionguard.workspaces.s3.settings import SMALLEST_PART
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place

OLD, NEW, NEWER = b"old", b"new" * 1000, b"newer"
LARGE = b"l" * (SMALLEST_PART + 5)

Fault = Callable[[TcpProxy], None]


def lose_the_reply(proxy: TcpProxy) -> None:
    """The next request is done, and nobody hears of it."""
    proxy.drop_replies()


def lose_all_replies(proxy: TcpProxy) -> None:
    """The next request is done, as often as it is repeated, and nobody hears of it."""
    proxy.drop_replies(100)


def end_the_network(proxy: TcpProxy) -> None:
    """Nothing gets through any more, and everybody knows."""
    proxy.refuse()
    proxy.cut()


@contextmanager
def at_request(number: int, act: Callable[[], None]) -> Iterator[list[str]]:
    """Do something before the request of that number; gives the requests that were made."""
    made: list[str] = []

    def hook(label: str, resource: Hashable, mode: str) -> None:
        made.append(label)
        if len(made) == number:
            act()

    with points.installed(hook):
        yield made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the driver repeat at once, where it waits for half a second; what is repeated is the same."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda _self, _context: 0.0)


@pytest.fixture
def far(place: Place, proxy: TcpProxy) -> S3Workspaces:
    """Workspaces behind the network that can be made bad, used by somebody who does not wait long."""
    return place(f"http://127.0.0.1:{proxy.port}", patience="1.6")


@pytest.fixture
def patient(place: Place, proxy: TcpProxy) -> S3Workspaces:
    """The same, used by somebody who would rather wait than fail."""
    return place(f"http://127.0.0.1:{proxy.port}", patience="30")


def written(workspace: S3Workspace, data: bytes, number: int, act: Callable[[], None]) -> tuple[bool, int]:
    """Replace a file, with something done before one request; tell whether it was acknowledged, and the requests."""
    with at_request(number, act) as made:
        try:
            workspace.write("a", data)
        except WorkspaceUnavailableError:
            return False, len(made)
    return True, len(made)


@pytest.mark.parametrize("data", [NEW, LARGE], ids=["small", "parts"])
@pytest.mark.parametrize("fault", [lose_the_reply, TcpProxy.cut])
def test_a_passing_fault_is_not_noticed(
    patient: S3Workspaces, place: Place, proxy: TcpProxy, session_id: str, fault: Fault, data: bytes
) -> None:
    """Whatever request loses its reply or its connection, the file is there once, and was counted once."""
    number = total = 1
    with place().lease(session_id, UNLIMITED) as near:
        while number <= total:
            near.write("a", OLD)
            with patient.lease(session_id, UNLIMITED) as workspace:
                acknowledged, total = written(workspace, data, number, lambda: fault(proxy))
            proxy.heal()
            assert acknowledged, number
            assert near.read("a") == data
            assert near.list() == ["a"]
            assert near.usage().bytes == len(data)
            number += 1
    assert total == (3 if data is NEW else 6)


def test_a_change_whose_reply_was_lost_is_done_once(
    patient: S3Workspaces, place: Place, proxy: TcpProxy, session_id: str
) -> None:
    """A deletion tells that there was a file, and a claim is made once, although the driver asked twice."""
    with patient.lease(session_id, Quota(bytes=150, files=2)) as workspace:
        for number in (1, 2, 3):
            with at_request(number, proxy.drop_replies):
                workspace.write("a", b"x" * 100)
            proxy.heal()
            proxy.drop_replies()
            assert workspace.delete("a")
            proxy.heal()
            assert not workspace.delete("a")


@pytest.mark.parametrize("fault", [end_the_network, lose_all_replies, TcpProxy.half_open])
def test_a_lasting_fault_leaves_the_old_file_or_the_new(
    far: S3Workspaces, place: Place, proxy: TcpProxy, session_id: str, fault: Fault, sg_profile: Profile
) -> None:
    """An error says that the outcome is unknown; the file is whole, and a request that comes late changes nothing."""
    seen = set()
    with place().lease(session_id, UNLIMITED) as near:
        # Before the claim, the content, the manifest; in short runs not all of them for a fault that is waited for.
        is_short = fault is TcpProxy.half_open and sg_profile.name == "ci"
        for number in (3,) if is_short else (1, 2, 3):
            near.write("a", OLD)
            with far.lease(session_id, UNLIMITED) as workspace:
                acknowledged, _ = written(workspace, NEW, number, lambda: fault(proxy))
                assert not acknowledged
                proxy.heal()
                found = near.read("a")
                seen.add(found)
                near.write("a", NEWER)
                # What was held back has arrived by the time that another request was answered.
                workspace.usage()
                assert near.read("a") == NEWER
    assert seen <= {OLD, NEW}


@pytest.mark.parametrize("fault", [end_the_network, lose_all_replies])
def test_a_lasting_fault_leaves_the_old_parts_or_the_new(
    far: S3Workspaces, place: Place, proxy: TcpProxy, session_id: str, fault: Fault, sg_profile: Profile
) -> None:
    """The same for a file in parts, before each of the requests that begin, store, join and publish them."""
    with place().lease(session_id, UNLIMITED) as near:
        # In short runs: where the parts are joined, by the one, and where the file is published, by the other.
        short = (5,) if fault is lose_all_replies else (6,)
        for number in short if sg_profile.name == "ci" else range(1, 7):
            near.write("a", OLD)
            with far.lease(session_id, UNLIMITED) as workspace:
                acknowledged, _ = written(workspace, LARGE, number, lambda: fault(proxy))
                assert not acknowledged
                proxy.heal()
                assert near.read("a") in (OLD, LARGE)
                near.write("a", NEWER)
                workspace.usage()
                assert near.read("a") == NEWER


@pytest.mark.parametrize("fault", [lose_the_reply, TcpProxy.cut])
def test_a_removal_does_not_notice_a_passing_fault(
    patient: S3Workspaces, place: Place, proxy: TcpProxy, session_id: str, fault: Fault
) -> None:
    """Whatever request of a removal loses its reply or its connection, all is gone, and was counted once."""
    number = total = 1
    near = place()
    while number <= total:
        with near.lease(session_id, Quota(owner=OwnerQuota("a" * 32, bytes=100))) as workspace:
            workspace.write("a", OLD)
        with at_request(number, lambda: fault(proxy)) as made:
            assert patient.remove(session_id) == Removal(files=1, bytes=len(OLD), deferred=False), number
        proxy.heal()
        assert Contents(near).keys(session_id) == []
        total = len(made)
        number += 1
    assert total > 8


@pytest.mark.parametrize("fault", [end_the_network, lose_all_replies, TcpProxy.half_open])
def test_a_removal_under_a_lasting_fault_shows_all_or_nothing(
    far: S3Workspaces, place: Place, proxy: TcpProxy, session_id: str, fault: Fault, sg_profile: Profile
) -> None:
    """It says that it may not be finished; until the next one, all of the files are there, or nobody can lease them."""
    near = place()
    short = {end_the_network: (2,), lose_all_replies: (4,), TcpProxy.half_open: ()}[fault]
    for number in short if sg_profile.name == "ci" else range(1, 7):
        with near.lease(session_id, UNLIMITED) as workspace:
            workspace.write_all([("a", OLD), ("b", NEW)])
        with at_request(number, lambda: fault(proxy)), pytest.raises(WorkspaceUnavailableError):
            far.remove(session_id)
        proxy.heal()
        try:
            with near.lease(session_id, UNLIMITED) as workspace:
                found = [workspace.read(name) for name in workspace.list()]
        except LeaseLostError:
            found = []
        assert found in ([], [OLD, NEW])
        near.remove(session_id)
        assert Contents(near).keys() == []


def test_what_another_did_is_not_taken_for_done(place: Place, session_id: str) -> None:
    """Who does not know whether a change was made, and finds a later one of somebody else, makes it after all."""
    with place().lease(session_id, UNLIMITED) as one, place().lease(session_id, UNLIMITED) as other:
        one.write("a", OLD)
        is_lost: list[bool] = []

        def hook(label: str, resource: Hashable, mode: str) -> None:
            if label == "swap" and not is_lost:
                is_lost.append(True)
                other.write("b", OLD)
                raise WorkspaceUnavailableError(session_id, label, "lost on its way")

        with points.installed(hook):
            assert one.delete("a")
        assert is_lost
        assert other.list() == ["b"]


def test_a_reader_takes_up_where_it_was_cut(far: S3Workspaces, proxy: TcpProxy, session_id: str) -> None:
    """A file whose connection is cut again and again is read whole; out of reach, it says so, and goes on later."""
    with far.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", LARGE)
        with workspace.open("a") as file:
            parts = []
            while part := file.read(1_500_000):
                parts.append(part)
                proxy.cut()
            assert b"".join(parts) == LARGE
            file.seek(0)
            end_the_network(proxy)
            with pytest.raises(WorkspaceUnavailableError):
                file.read()
            proxy.heal()
            file.seek(5)
            assert file.read() == LARGE[5:]


def test_a_place_that_stands_still_is_given_up_in_time(far: S3Workspaces, proxy: TcpProxy, session_id: str) -> None:
    """A call ends when its patience does, however long the network is silent."""
    with far.lease(session_id, UNLIMITED) as workspace:
        proxy.half_open()
        began = time.monotonic()
        with pytest.raises(WorkspaceUnavailableError, match="it may be repeated"):
            workspace.list()
        # The patience, and what the driver waits before it tries again: up to a second.
        assert time.monotonic() - began < 10
        proxy.heal()
        assert workspace.list() == []


def test_a_slow_network_changes_nothing(patient: S3Workspaces, proxy: TcpProxy, session_id: str) -> None:
    """Delays below the patience are waited for."""
    proxy.delay_seconds = 0.01
    with patient.lease(session_id, UNLIMITED) as workspace:
        workspace.write("small", NEW)
        workspace.write("a", LARGE)
        assert workspace.read("small") == NEW
        assert workspace.read("a") == LARGE


def test_a_lost_reply_does_not_make_a_good_place_a_bad_one(patient: S3Workspaces, proxy: TcpProxy) -> None:
    """Where the driver repeats what was stored, the probe begins anew; the place is opened, nothing of it is left."""
    for number in (1, 3):
        with at_request(number, proxy.drop_replies) as made:
            S3Workspaces(patient.settings).open("deployment")
        # That key is given up, and all is asked under another.
        assert made == ["swap"] * number + ["delete"] + ["swap"] * 4 + ["delete", "swap", "delete"]
        proxy.heal()
    assert patient._bucket.page(patient.settings.prefix, None).objects == []
