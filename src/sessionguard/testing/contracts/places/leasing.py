"""Cases about leases: what is in use stays, and a removal waits for the last one."""

from sessionguard.core.commands import Fence
from sessionguard.core.leases import LEASE
from sessionguard.errors import InvalidArgumentError, LeaseLostError, MisuseError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session, refused
from sessionguard.workspaces.contract import Removal


@case
def a_lease_is_shared(site: Site) -> None:
    """Two who use one workspace at the same time see each other's finished files."""
    session_id = new_session()
    with site.workspaces.lease(session_id, UNLIMITED) as one, site.another().lease(session_id, UNLIMITED) as other:
        assert one.session_id == other.session_id == session_id
        one.write("a", b"1")
        other.write("b", b"2")
        assert one.list() == other.list() == ["a", "b"]
        assert one.delete("b") is True
        assert other.list() == ["a"]


@case(needs="leases")
def what_is_in_use_is_not_removed(site: Site) -> None:
    """Removal does not wait and does not harm: whoever holds the workspace goes on, and its last lease removes it."""
    session_id = site.filled(a=b"1")
    one, other = site.workspaces.lease(session_id, UNLIMITED), site.another().lease(session_id, UNLIMITED)
    assert site.another().remove(session_id) == Removal(0, 0, deferred=True)
    one.close()
    other.write("b", b"2")
    assert other.read("a") == b"1"
    assert site.workspaces.remove(session_id).deferred
    other.close()
    assert site.workspaces.remove(session_id) == Removal(0, 0, deferred=False)
    assert site.workspaces.candidates(10) == []


@case(needs="leases")
def there_is_no_new_lease_where_a_removal_waits(site: Site) -> None:
    """Once its removal is asked for nobody new gets the workspace; the refused attempt does not keep it either."""
    session_id = new_session()
    with site.workspaces.lease(session_id, UNLIMITED) as first:
        site.workspaces.remove(session_id)
        refused(LeaseLostError, lambda: site.another().lease(session_id, UNLIMITED))
        first.write("still", b"works")
    assert site.workspaces.candidates(10) == []
    with site.workspaces.lease(session_id, UNLIMITED) as anew:
        assert anew.list() == []


@case(needs="leases")
def a_hold_opens_what_waits_for_removal(site: Site) -> None:
    """Whoever holds the session, and says so by the fence, opens its files again until it lets go of them."""
    session_id = site.filled(a=b"1")
    with site.workspaces.lease(session_id, UNLIMITED):
        site.another().remove(session_id)
        with site.workspaces.lease(session_id, UNLIMITED, Fence(LEASE, 1)) as again:
            assert again.read("a") == b"1"
            again.write("b", b"2")
        with site.workspaces.lease(session_id, UNLIMITED, Fence(LEASE, 1)) as again:
            assert again.list() == ["a", "b"]
    with site.workspaces.lease(session_id, UNLIMITED) as anew:
        assert anew.list() == []


@case
def only_a_session_id_is_taken_for_one(site: Site) -> None:
    """Anything but 34 lower-case hexadecimal characters is refused before anything is looked up."""
    for wrong in ("", "..", "a" * 33, "A" * 34, "a" * 34 + "\n", "../" + "a" * 31, "٠" * 34, None, 1):
        refused(InvalidArgumentError, lambda wrong=wrong: site.workspaces.lease(wrong, UNLIMITED))  # type: ignore[misc]
        refused(InvalidArgumentError, lambda wrong=wrong: site.workspaces.remove(wrong))  # type: ignore[misc]
        refused(InvalidArgumentError, lambda wrong=wrong: site.workspaces.quarantine(wrong))  # type: ignore[misc]


@case
def a_place_must_be_opened_first(site: Site) -> None:
    """Use before `open` is a misuse; opening twice is fine, and a deployment has a name."""
    unopened = site.make()
    for call in (
        lambda: unopened.lease(new_session(), UNLIMITED),
        lambda: unopened.remove(new_session()),
        lambda: unopened.candidates(1),
    ):
        refused(MisuseError, call)
    refused(InvalidArgumentError, lambda: unopened.open(""))
    unopened.open("one")
    unopened.open("one")
    unopened.lease(new_session(), UNLIMITED).close()


@case(needs="paths")
def a_path_is_the_directory_of_the_files(site: Site) -> None:
    """Other programs find the files there, and what they put there is listed and counted."""
    with site.leased() as workspace:
        workspace.write("a/b", b"1")
        assert (workspace.path / "a" / "b").read_bytes() == b"1"
        (workspace.path / "theirs").write_bytes(b"22")
        assert workspace.list() == ["a/b", "theirs"]
        assert (workspace.usage().bytes, workspace.usage().files) == (3, 2)
