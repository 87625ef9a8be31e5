"""Cases about quotas: counted while bytes arrive, exact, and given back."""

import gc
import threading
from functools import partial

from sessionguard.errors import QuotaExceededError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import UNLIMITED, Site, new_session, refused
from sessionguard.workspaces.quota import OwnerQuota, Quota, Usage


@case
def a_quota_is_exact(site: Site) -> None:
    """The last byte and the last file that fit are taken, the next ones refused by name, and nothing is lost."""
    with site.leased(Quota(bytes=10, files=2)) as workspace:
        workspace.write("a", b"12345")
        error = refused(QuotaExceededError, lambda: workspace.write("b", b"123456"))
        assert (error.limit, error.unit) == (10, "bytes")
        workspace.write("b", b"12345")
        error = refused(QuotaExceededError, lambda: workspace.write("c", b""))
        assert (error.limit, error.unit) == (2, "files")
        assert workspace.list() == ["a", "b"]
        assert workspace.usage() == Usage(bytes=10, files=2)


@case
def bytes_are_counted_while_they_arrive(site: Site) -> None:
    """A stream is stopped before its end, and what had come of it takes no room."""
    with site.leased(Quota(bytes=1000)) as workspace:
        file = workspace.open("a", "wb")
        file.write(b"x" * 999)
        file.write(b"x")
        refused(QuotaExceededError, lambda: [file.write(b"x" * 1000) for _ in range(20_000)])
        file.close()
        assert workspace.list() == []
        workspace.write("b", b"x" * 1000)


@case
def what_was_there_stays_when_a_replacement_does_not_fit(site: Site) -> None:
    """A file that was to be replaced by too large a one is unchanged; replacing needs no further file."""
    with site.leased(Quota(bytes=10, files=1)) as workspace:
        workspace.write("a", b"12345")
        workspace.write("a", b"54321")
        refused(QuotaExceededError, lambda: workspace.write("a", b"x" * 11))
        assert workspace.read("a") == b"54321"


@case
def unfinished_files_take_room(site: Site) -> None:
    """What others are writing is counted, and given back when it is discarded or forgotten."""
    with site.leased(Quota(bytes=1000, files=2)) as workspace:
        one, two = workspace.open("one", "wb"), workspace.open("two", "wb")
        one.write(b"x" * 400)
        refused(QuotaExceededError, lambda: workspace.open("three", "wb"))
        refused(QuotaExceededError, lambda: workspace.write("two", b"x" * 601))
        refused(ZeroDivisionError, partial(_fail_within, one))
        del one, two
        gc.collect()
        workspace.write("one", b"x" * 500)
        workspace.write("two", b"x" * 500)


def _fail_within(file: object) -> None:
    with file:  # type: ignore[attr-defined]
        _ = 1 / 0


@case
def deleting_makes_room(site: Site) -> None:
    """Room and numbers of deleted files can be used again, many times over."""
    with site.leased(Quota(bytes=100, files=1)) as workspace:
        for _ in range(10):
            workspace.write("a/b", b"x" * 100)
            assert workspace.delete("a/b")


@case
def writers_at_once_keep_the_quota(site: Site) -> None:
    """Threads that write at once, over several connections, never get more than the quota, and what is taken fits."""
    session_id, taken = new_session(), []

    def write(number: int) -> None:
        with site.another().lease(session_id, Quota(bytes=10_000, files=12)) as workspace:
            for round_ in range(4):
                name = f"{number}-{round_}"
                try:
                    with workspace.open(name, "wb") as file:
                        for _ in range(10):
                            file.write(b"x" * 100)
                except QuotaExceededError:
                    continue
                taken.append(name)

    with site.workspaces.lease(session_id, UNLIMITED) as workspace:
        threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert workspace.list() == sorted(taken)
        assert workspace.usage() == Usage(1000 * len(taken), len(taken))
        assert 1 <= len(taken) <= 10


@case(needs="owner_quotas")
def what_an_owner_may_hold_is_counted_over_all_his_sessions(site: Site) -> None:
    """Files of one session take room from the others of the same owner, and from nobody else; removal gives it back."""
    mine, yours = (Quota(owner=OwnerQuota(key, bytes=1000, files=3)) for key in ("a" * 40, "b" * 40))
    first = new_session()
    with site.workspaces.lease(first, mine) as workspace:
        workspace.write("a", b"x" * 600)
    with site.leased(mine) as second, site.leased(yours) as foreign:
        error = refused(QuotaExceededError, lambda: second.write("b", b"x" * 401))
        assert (error.limit, error.unit, error.whose) == (1000, "bytes", "owner")
        foreign.write("b", b"x" * 1000)
        second.write("b", b"x" * 400)
        site.workspaces.remove(first)
        second.write("c", b"x" * 600)
        second.write("d", b"")
        error = refused(QuotaExceededError, lambda: second.write("e", b""))
        assert (error.limit, error.unit, error.whose) == (3, "files", "owner")
