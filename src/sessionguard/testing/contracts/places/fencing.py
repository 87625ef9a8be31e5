"""Cases about fences: whoever lost a lock writes nothing more once a later holder has come."""

from collections.abc import Iterator

from sessionguard.core.commands import Fence
from sessionguard.core.leases import LEASE
from sessionguard.errors import LeaseLostError, LockLostError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session, refused


@case(needs="fences")
def a_later_holder_ends_what_an_earlier_one_was_writing(site: Site) -> None:
    """A file begun under a lower fence is discarded when it is closed; nothing else of the earlier one is taken."""
    session_id = new_session()
    with site.workspaces.lease(session_id, UNLIMITED, Fence("door", 1)) as earlier:
        earlier.write("a", b"first")
        unfinished = earlier.open("a", "w")
        unfinished.write("stale")

        def files() -> Iterator[tuple[str, bytes]]:
            yield "c", b"stale"
            site.another().lease(session_id, UNLIMITED, Fence("door", 2)).close()

        refused(LockLostError, lambda: earlier.write_all(files()))
        refused(LockLostError, unfinished.close)
        refused(LockLostError, lambda: earlier.write("b", b"stale"))
        refused(LockLostError, lambda: earlier.delete("a"))
        assert earlier.list() == ["a"]
        assert earlier.read("a") == b"first", "reading is nobody's loss"


@case(needs="fences")
def whoever_comes_with_a_lower_fence_is_not_let_in(site: Site) -> None:
    """An earlier holder that wakes up late is refused at the door, and holds nothing."""
    session_id = new_session()
    site.workspaces.lease(session_id, UNLIMITED, Fence("door", 7)).close()
    error = refused(LockLostError, lambda: site.another().lease(session_id, UNLIMITED, Fence("door", 6)))
    assert (error.name, error.fence) == ("door", 6)
    site.workspaces.lease(session_id, UNLIMITED, Fence("door", 7)).close()
    assert not site.workspaces.remove(session_id).deferred


@case(needs="fences")
def who_hold_it_together_are_not_in_each_others_way(site: Site) -> None:
    """With a fence, those from its lowest on go on and come in, and only those below that are refused."""
    session_id, workspaces = new_session(), site.workspaces
    with (
        workspaces.lease(session_id, UNLIMITED, Fence(LEASE, 2)) as lapsed,
        workspaces.lease(session_id, UNLIMITED, Fence(LEASE, 4, 2)) as elder,
    ):
        lapsed.write("a", b"still")
        with site.another().lease(session_id, UNLIMITED, Fence(LEASE, 7, 4)) as latest:
            elder.write("b", b"beside")
            latest.write("c", b"x")
            site.another().lease(session_id, UNLIMITED, Fence(LEASE, 5, 4)).close()
            elder.write("d", b"x")
            refused(LeaseLostError, lambda: lapsed.write("a", b"stale"))
        refused(LeaseLostError, lambda: site.another().lease(session_id, UNLIMITED, Fence(LEASE, 3, 1)))
        assert elder.read("a") == b"still"


@case(needs="fences")
def other_locks_and_no_lock_are_not_in_the_way(site: Site) -> None:
    """Fences are counted lock by lock, and a workspace leased without a lock is not fenced."""
    session_id, workspaces = new_session(), site.workspaces
    with (
        workspaces.lease(session_id, UNLIMITED, Fence("door", 7)) as door,
        workspaces.lease(session_id, UNLIMITED, Fence("window", 1)) as window,
        workspaces.lease(session_id, UNLIMITED) as unfenced,
    ):
        for number, workspace in enumerate((door, window, unfenced, door)):
            workspace.write(f"{number}", b"x")
        assert door.list() == ["0", "1", "2", "3"]
