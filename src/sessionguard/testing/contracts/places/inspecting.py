"""Cases about looking: how much, how young and what is left over, told before anything is removed."""

from datetime import UTC, datetime, timedelta
from typing import cast

from sessionguard.errors import MisuseError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session, refused
from sessionguard.workspaces.contract import InspectedWorkspaces, Removal

_HOUR = timedelta(hours=1)


def _looking(site: Site) -> InspectedWorkspaces:
    return cast("InspectedWorkspaces", site.another())


@case(needs="inspection")
def what_is_measured_is_what_a_removal_tells(site: Site) -> None:
    """`measure` tells files and bytes as `remove` does, changes nothing, and knows of nothing where nothing is."""
    session_id = site.filled(a=b"123", b=b"45")
    for _ in range(2):
        assert _looking(site).measure(session_id) == Removal(files=2, bytes=5, deferred=False)
    with site.workspaces.lease(session_id, UNLIMITED) as workspace:
        assert workspace.list() == ["a", "b"]
        workspace.write("b", b"6")
    assert _looking(site).measure(session_id) == site.workspaces.remove(session_id) == Removal(2, 4, deferred=False)
    assert _looking(site).measure(session_id) == Removal(files=0, bytes=0, deferred=False)
    assert _looking(site).measure(new_session()) == Removal(files=0, bytes=0, deferred=False)


@case(needs="inspection leases")
def what_is_in_use_is_measured_as_deferred(site: Site) -> None:
    """As its removal would be; looking does not end anybody's lease."""
    session_id = site.filled(a=b"1")
    with site.workspaces.lease(session_id, UNLIMITED) as workspace:
        assert _looking(site).measure(session_id).deferred
        workspace.write("b", b"2")
    assert _looking(site).measure(session_id) == Removal(files=2, bytes=2, deferred=False)


@case(needs="inspection")
def what_changed_lately_is_young(site: Site) -> None:
    """Within the age before an instant, or after it; no longer once it is older, and not where nothing is."""
    session_id, now = site.filled(a=b"1"), datetime.now(UTC)
    looking = _looking(site)
    told = [looking.is_young(session_id, _HOUR, at) for at in (None, now, now - 2 * _HOUR, now + 2 * _HOUR)]
    assert told == [True, True, True, False]
    assert looking.is_young(session_id, 3 * _HOUR, now + 2 * _HOUR)
    assert not looking.is_young(new_session(), _HOUR, None)
    site.workspaces.remove(session_id)
    assert not looking.is_young(session_id, _HOUR, None)


@case(needs="inspection")
def leftovers_are_the_next_candidates(site: Site) -> None:
    """`leftovers` gives what `candidates` gives next, as often as it is asked, and finishes no removal."""
    ids = sorted(site.filled(a=b"1") for _ in range(5))
    assert sorted(_looking(site).leftovers(10)) == sorted(_looking(site).leftovers(10, site.deployment_id)) == ids
    # Where the first look begins is for each connection to choose.
    place = site.another()
    looking = cast("InspectedWorkspaces", place)
    seen: list[str] = []
    for _ in range(3):
        foreseen = looking.leftovers(2)
        assert foreseen == looking.leftovers(2) == place.candidates(2)
        seen += foreseen
    assert set(seen) == set(ids)
    refused(MisuseError, lambda: looking.leftovers(2, site.deployment_id + "'s neighbour"))
