"""Cases about removal: everything of one session, nothing of another, and the search for garbage."""

from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session, refused
from sessionguard.workspaces.contract import Removal

_NOTHING = Removal(files=0, bytes=0, deferred=False)


@case
def removal_tells_what_is_gone(site: Site) -> None:
    """Removal tells files and bytes, leaves nothing, and a second one has nothing to do."""
    session_id = site.filled(a=b"123", b=b"45")
    with site.workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("sub/c", b"6")
    assert site.another().remove(session_id) == Removal(files=3, bytes=6, deferred=False)
    assert site.workspaces.remove(session_id) == _NOTHING
    assert site.workspaces.remove(new_session()) == _NOTHING
    with site.workspaces.lease(session_id, UNLIMITED) as anew:
        assert anew.list() == []
        assert anew.usage().files == 0


@case
def removal_touches_no_other_session(site: Site) -> None:
    """Sessions whose ids differ in one character, at the beginning or the end, keep their files."""
    session_id = new_session()
    last = session_id[:-1] + ("0" if session_id[-1] != "0" else "1")
    first = ("0" if session_id[0] != "0" else "1") + session_id[1:]
    for each in (session_id, last, first):
        site.filled(each, a=each.encode())
    site.workspaces.remove(session_id)
    for each in (last, first):
        with site.workspaces.lease(each, UNLIMITED) as workspace:
            assert workspace.read("a") == each.encode()


@case
def deployments_are_kept_apart(site: Site) -> None:
    """Files of another deployment in the same place are neither seen nor removed nor proposed for removal."""
    session_id = site.filled(a=b"1")
    workspaces = site.another()
    workspaces.open(site.deployment_id + "'s neighbour")
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == []
    workspaces.remove(session_id)
    assert workspaces.candidates(10) == []
    refused(MisuseError, lambda: workspaces.candidates(10, site.deployment_id))
    workspaces.open(site.deployment_id)
    assert workspaces.candidates(10, site.deployment_id) == [session_id]
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.read("a") == b"1"


@case
def a_file_closed_after_the_removal_brings_nothing_back(site: Site) -> None:
    """What was unfinished when its workspace was closed and removed never appears."""
    session_id = new_session()
    workspace = site.workspaces.lease(session_id, UNLIMITED)
    file = workspace.open("a", "wb")
    file.write(b"late")
    workspace.close()
    site.another().remove(session_id)
    file.close()
    with site.another().lease(session_id, UNLIMITED) as anew:
        assert anew.list() == []


@case
def candidates_come_round_to_every_session(site: Site) -> None:
    """Small steps visit every session that has a workspace, and begin anew."""
    sessions = {site.filled(a=b"1") for _ in range(12)}
    for _ in range(2):
        seen: list[str] = []
        for _ in range(6):
            step = site.workspaces.candidates(3)
            assert len(step) <= 3
            seen += step
        assert set(seen) == sessions
    assert sorted(site.another().candidates(100)) == sorted(sessions)
    for limit in (0, -1):
        refused(InvalidArgumentError, lambda limit=limit: site.workspaces.candidates(limit))  # type: ignore[misc]


@case(needs="leases")
def waiting_removals_are_named_first(site: Site) -> None:
    """Sessions whose removal waits come first, and do not keep the search from going on."""
    waiting, others = [site.filled(a=b"1") for _ in range(3)], [site.filled(a=b"1") for _ in range(4)]
    held = [site.workspaces.lease(session_id, UNLIMITED) for session_id in waiting]
    for session_id in waiting:
        site.workspaces.remove(session_id)
    assert set(site.workspaces.candidates(20)[:3]) == set(waiting)
    seen: set[str] = set()
    for _ in range(10):
        seen |= set(site.workspaces.candidates(2))
    assert seen >= set(others)
    for workspace in held:
        workspace.close()


@case
def a_quarantined_workspace_is_out_of_reach(site: Site) -> None:
    """Nobody is given its files, nobody removes them, and the same session would begin empty."""
    session_id = site.filled(plan=b"the only copy")
    assert site.workspaces.quarantine(session_id) is True
    assert site.another().candidates(10) == []
    assert site.workspaces.quarantine(session_id) is False
    assert site.workspaces.remove(session_id) == _NOTHING
    with site.another().lease(session_id, UNLIMITED) as anew:
        assert anew.list() == []


@case
def there_is_nothing_to_quarantine_without_a_file(site: Site) -> None:
    """A workspace that was only opened, or never was, is not kept."""
    session_id = site.filled()
    assert site.workspaces.quarantine(session_id) is False
    assert site.workspaces.quarantine(new_session()) is False


@case(needs="leases")
def what_is_in_use_is_not_quarantined(site: Site) -> None:
    """Whoever holds it goes on; one whose removal waits is removed and not kept."""
    session_id = site.filled(a=b"1")
    with site.workspaces.lease(session_id, UNLIMITED) as workspace:
        assert site.another().quarantine(session_id) is False
        workspace.write("b", b"2")
        assert workspace.list() == ["a", "b"]
        site.workspaces.remove(session_id)
        assert site.another().quarantine(session_id) is False
        assert workspace.read("a") == b"1"
    assert site.workspaces.quarantine(session_id) is False
