"""Cases about threads and forks that share one workspace."""

import threading

from sessionguard.errors import MisuseError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session
from sessionguard.testing.faults.crowd import in_children
from sessionguard.workspaces.contract import Workspace


@case
def threads_share_a_workspace(site: Site) -> None:
    """Threads that write, read, list and delete in one workspace lose nothing and see nothing of others' making."""
    wrong: list[object] = []

    def use(number: int) -> None:
        try:
            for round_ in range(site.profile.rounds):
                name = f"d{round_}/{number}"
                workspace.write(name, name)
                if workspace.read(name) != name.encode() or name not in workspace.list():
                    wrong.append(name)
                if round_ % 2 and not workspace.delete(name):
                    wrong.append(f"{name} was not there")
        except Exception as error:
            wrong.append(error)

    with site.leased() as workspace:
        threads = [threading.Thread(target=use, args=(number,)) for number in range(site.profile.callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        kept = [f"d{r}/{n}" for r in range(0, site.profile.rounds, 2) for n in range(site.profile.callers)]
        assert workspace.list() == sorted(kept)


@case(needs="forks")
def a_forked_child_neither_uses_nor_ends_the_lease(site: Site) -> None:
    """In a forked child every call is a misuse, closing does nothing, and the parent goes on."""
    session_id = new_session()
    with site.workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        with workspace.open("b", "wb") as file:
            file.write(b"parent")
            assert in_children(1, lambda _: _use(workspace, file)) == [["refused"] * 5]
            assert workspace.list() == ["a"]
        assert workspace.read("b") == b"parent"
        if site.capabilities.leases:
            assert site.workspaces.remove(session_id).deferred
            assert workspace.read("a") == b"1"


def _use(workspace: Workspace, file: object) -> list[str]:
    told = []
    for call in (
        lambda: workspace.open("a"),
        lambda: workspace.write("c", b""),
        workspace.list,
        lambda: workspace.delete("a"),
        lambda: file.write(b"child"),  # type: ignore[attr-defined]
    ):
        try:
            call()
            told.append("worked")
        except MisuseError:
            told.append("refused")
    file.close()  # type: ignore[attr-defined]
    workspace.close()
    return told
