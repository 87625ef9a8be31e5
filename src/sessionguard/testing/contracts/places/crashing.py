"""Cases about processes that are killed: what they had acknowledged is there, and nothing of the rest."""

from multiprocessing.connection import Connection

from sessionguard.errors import QuotaExceededError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, MakeWorkspaces, Site, new_session, refused
from sessionguard.testing.faults.children import ChildProcess
from sessionguard.workspaces.contract import Workspaces
from sessionguard.workspaces.quota import Quota, Usage


def _opened(make: MakeWorkspaces, deployment_id: str) -> Workspaces:
    workspaces = make()
    workspaces.open(deployment_id)
    return workspaces


def replace_for_ever(line: Connection, make: MakeWorkspaces, deployment_id: str, session_id: str) -> None:
    """Replace one file, and two together, by ever new contents, and say what was acknowledged."""
    with _opened(make, deployment_id).lease(session_id, UNLIMITED) as workspace:
        number = 0
        while True:
            number += 1
            workspace.write("a", (b"%06d" % number) * 20_000)
            workspace.write_all([("both/1", b"%06d" % number), ("both/2", b"%06d" % number)])
            line.send(number)


@case(needs="processes")
def a_killed_writer_leaves_the_old_or_the_new(site: Site) -> None:
    """After kill -9 each file is whole and as new as was acknowledged, and files written together are of one time."""
    session_id = new_session()
    for round_ in range(site.profile.rounds // 2):
        with ChildProcess(replace_for_ever, site.make, site.deployment_id, session_id) as writer:
            for _ in range(round_ + 1):
                acknowledged = writer.hear()
            writer.kill()
        with site.another().lease(session_id, UNLIMITED) as workspace:
            content = workspace.read("a")
            assert len(content) == 120_000
            assert content == content[:6] * 20_000
            assert int(content[:6]) >= acknowledged
            assert workspace.read("both/1") == workspace.read("both/2")
            assert int(workspace.read("both/1")) >= acknowledged
            assert workspace.list() == ["a", "both/1", "both/2"]


def hold_unfinished(line: Connection, make: MakeWorkspaces, deployment_id: str, session_id: str) -> None:
    """Hold a large unfinished file until killed."""
    with _opened(make, deployment_id).lease(session_id, Quota(bytes=1000, files=2)) as workspace:
        workspace.write("old", b"o" * 100)
        with workspace.open("old", "wb") as file:
            file.write(b"n" * 800)
            line.send("written")
            line.recv()


@case(needs="processes leases")
def what_a_killed_writer_held_is_given_back(site: Site) -> None:
    """Its room is taken while it lives and free once it is dead, its file is not there, and its lease has ended."""
    session_id, quota = new_session(), Quota(bytes=1000, files=2)
    with ChildProcess(hold_unfinished, site.make, site.deployment_id, session_id) as writer:
        writer.hear()
        with site.workspaces.lease(session_id, quota) as workspace:
            refused(QuotaExceededError, lambda: workspace.write("new", b"x" * 101))
        assert site.workspaces.quarantine(session_id) is False, "it is in use"
        writer.kill()
    with site.workspaces.lease(session_id, quota) as workspace:
        assert workspace.read("old") == b"o" * 100
        workspace.write("new", b"x" * 900)
        assert workspace.usage() == Usage(1000, 2)
    assert not site.workspaces.remove(session_id).deferred
