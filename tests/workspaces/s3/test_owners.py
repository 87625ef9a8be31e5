"""What all workspaces of an owner hold together in a bucket: counted before it is stored, raced, healed, given back."""

import secrets
import threading

import pytest

from sessionguard.core import points
from sessionguard.errors import InvalidArgumentError, QuotaExceededError, WorkspaceUnavailableError
from sessionguard.workspaces import OwnerQuota, Quota, Usage
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.manifest import CLAIM_SECONDS
from sessionguard.workspaces.s3.owners import OwnerBook
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place

ANA, BEA = "a" * 32, "b" * 32


def owned(key: str = ANA, bytes: int | None = None, files: int | None = None) -> Quota:
    """Give a quota that limits the owner alone."""
    return Quota(owner=OwnerQuota(key, bytes, files))


def new_id() -> str:
    """Give the id of a session that nobody has seen before."""
    return secrets.token_hex(17)


def write(workspaces: S3Workspaces, session_id: str, name: str, size: int, quota: Quota) -> None:
    """Write one file."""
    with workspaces.lease(session_id, quota) as workspace:
        workspace.write(name, b"x" * size)


def book(contents: Contents, key: str = ANA) -> dict[str, Usage]:
    """Give the shares in the book of an owner."""
    found = contents.bucket.get(contents.layout.owner(key))
    return {} if found is None else OwnerBook.read(found.data).shares


def test_an_owners_sessions_share_his_quota_to_the_byte(workspaces: S3Workspaces) -> None:
    """The last byte of the owner fits into any of his workspaces, written or streamed, the next into none."""
    one, two = new_id(), new_id()
    write(workspaces, one, "a", 60_000, owned(bytes=100_000))
    with workspaces.lease(two, owned(bytes=100_000)) as workspace:
        with workspace.open("a", "wb") as file:
            for _ in range(40):
                file.write(b"x" * 1000)
        for session_id in (one, new_id()):
            with pytest.raises(QuotaExceededError) as caught:
                write(workspaces, session_id, "b", 1, owned(bytes=100_000))
            told = caught.value
            assert (told.limit, told.used, told.unit, told.whose) == (100_000, 100_001, "bytes", "owner")
        file = workspace.open("b", "wb")
        with pytest.raises(QuotaExceededError):
            file.write(b"x")
        assert workspace.list() == ["a"]
        workspace.delete("a")
        workspace.write("c", b"x" * 40_000)
    write(workspaces, new_id(), "a", 100_000, owned(BEA, bytes=100_000))
    with pytest.raises(QuotaExceededError) as caught:
        write(workspaces, new_id(), "a", 0, owned(files=2))
    assert (caught.value.unit, caught.value.used, caught.value.whose) == ("files", 3, "owner")


def test_who_was_not_let_in_keeps_nobody_out(workspaces: S3Workspaces) -> None:
    """One whose claim is in his manifest and not yet in the book does not take the room of one who is sooner there."""
    one, two = (workspaces.lease(new_id(), owned(bytes=100)) for _ in range(2))
    one.write("a", b"1")
    two.write("a", b"1")
    is_first = [True]

    def hook(label: str, resource: object, mode: str) -> None:
        if is_first[0] and label == "swap" and ".owners" in str(resource):
            is_first[0] = False
            one.write("b", b"x" * 80)

    with points.installed(hook), pytest.raises(QuotaExceededError):
        two.write("b", b"x" * 80)
    assert (one.usage(), two.usage()) == (Usage(81, 2), Usage(1, 1))
    two.write("b", b"x" * 18)


def test_a_count_does_not_overtake_a_claim(workspaces: S3Workspaces, contents: Contents) -> None:
    """One who claims while another counts is not counted as he was before."""
    counting, claiming = workspaces.lease(new_id(), owned(bytes=100)), workspaces.lease(new_id(), owned(bytes=100))
    for each in (counting, claiming):
        each.write("a", b"x" * 40)
    claiming.delete("a")
    calls: list[str] = []

    def hook(label: str, resource: object, mode: str) -> None:
        if label == "get" and claiming.session_id in str(resource) and not calls:
            calls.append("counted")
        elif label == "swap" and ".owners" in str(resource) and calls == ["counted"]:
            # The manifest was read, and the book is about to say what it said.
            calls.append("claimed")
            claiming.write("b", b"x" * 40)

    with points.installed(hook), pytest.raises(QuotaExceededError):
        counting.write("b", b"x" * 60)
    assert calls == ["counted", "claimed"]
    assert counting.usage().bytes + claiming.usage().bytes == 80


def test_removal_and_quarantine_give_the_share_back(workspaces: S3Workspaces, contents: Contents) -> None:
    """A session that was removed, quarantined, or given to another owner takes nothing any more."""
    one, two, three = new_id(), new_id(), new_id()
    for session_id in (one, two, three):
        write(workspaces, session_id, "a", 30, owned(bytes=100))
    workspaces.remove(one)
    assert book(contents) == {two: Usage(30, 1), three: Usage(30, 1)}
    assert workspaces.quarantine(two)
    assert book(contents) == {three: Usage(30, 1)}
    with pytest.raises(QuotaExceededError):
        write(workspaces, three, "b", 80, owned(BEA, bytes=100))
    write(workspaces, three, "b", 70, owned(BEA, bytes=100))
    assert book(contents, BEA) == {three: Usage(100, 2)}
    write(workspaces, new_id(), "a", 100, owned(bytes=100))


def test_a_session_that_never_wrote_is_in_no_book(workspaces: S3Workspaces, contents: Contents) -> None:
    """Its removal makes none."""
    with workspaces.lease(new_id(), owned(bytes=100)) as workspace:
        pass
    workspaces.remove(workspace.session_id)
    assert contents.keys() == []


def test_a_lease_without_a_quota_of_its_owner_is_counted_too(workspaces: S3Workspaces, contents: Contents) -> None:
    """What one lease writes without that limit takes room of another that has it."""
    session_id = new_id()
    write(workspaces, session_id, "a", 10, owned(bytes=100))
    write(workspaces, session_id, "b", 90, UNLIMITED)
    assert book(contents) == {session_id: Usage(100, 2)}
    with pytest.raises(QuotaExceededError):
        write(workspaces, new_id(), "a", 1, owned(bytes=100))


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format":1,"revision":1,"marks":[],"turn":1,"shares":{"a":1}}'])
def test_a_damaged_book_is_counted_from_the_manifests(
    workspaces: S3Workspaces, contents: Contents, damage: bytes
) -> None:
    """Whatever happened to it, the owner gets no byte more than his quota, and no byte less."""
    ids = [new_id() for _ in range(3)]
    for session_id in ids:
        write(workspaces, session_id, "a", 30, owned(bytes=100))
    write(workspaces, new_id(), "a", 30, owned(BEA, bytes=100))
    contents.bucket.put(contents.layout.owner(ANA), damage)
    with pytest.raises(QuotaExceededError):
        write(workspaces, ids[1], "b", 11, owned(bytes=100))
    write(workspaces, ids[1], "b", 10, owned(bytes=100))
    assert book(contents) == {ids[0]: Usage(30, 1), ids[1]: Usage(40, 2), ids[2]: Usage(30, 1)}


def test_a_claim_of_the_dead_is_given_back(place: Place) -> None:
    """What one who died had claimed is his owner's again after five minutes; coming back, he must fit again."""
    now = [1e9]
    workspaces = place(clock=lambda: now[0])
    with workspaces.lease(new_id(), owned(bytes=100)) as slow, workspaces.lease(new_id(), owned(bytes=100)) as other:
        file = slow.open("a", "wb")
        file.write(b"x" * 60)
        with pytest.raises(QuotaExceededError):
            other.write("a", b"x" * 50)
        now[0] += CLAIM_SECONDS + 1
        other.write("a", b"x" * 50)
        with pytest.raises(QuotaExceededError):
            file.close()
        assert slow.list() == []


def test_a_book_out_of_reach_leaves_no_claim(workspaces: S3Workspaces, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the book cannot be changed nothing is written, and the next file of that lease has all of the room."""
    with workspaces.lease(new_id(), Quota(bytes=100, owner=OwnerQuota(ANA, 1000))) as workspace:
        with monkeypatch.context() as patched:
            patched.setattr("sessionguard.workspaces.s3.owners.OwnerShares.cover", _out_of_reach)
            with pytest.raises(WorkspaceUnavailableError):
                workspace.write("a", b"x" * 60)
        assert workspace.list() == []
        workspace.write("a", b"x" * 100)


def _out_of_reach(*arguments: object) -> None:
    raise WorkspaceUnavailableError(None, "change", "503")


def test_writers_of_one_owner_never_get_more_than_his_quota(place: Place, contents: Contents) -> None:
    """Six sessions write at once into room for five files; what was taken fits, and the book says so."""
    taken: list[str] = []

    def fill(session_id: str) -> None:
        with place().lease(session_id, owned(bytes=5000)) as workspace:
            for number in range(2):
                try:
                    workspace.write(f"{number}", b"x" * 1000)
                except QuotaExceededError:
                    continue
                taken.append(session_id)

    threads = [threading.Thread(target=fill, args=(new_id(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 5
    shares = book(contents)
    assert {each: shares[each].bytes >= 1000 * taken.count(each) for each in taken} == dict.fromkeys(taken, True)


@pytest.mark.parametrize("key", ["", "../x", "A" * 32, "a" * 31, "a" * 65, "a" * 32 + "\n", None])
def test_a_key_is_a_hash(workspaces: S3Workspaces, key: object) -> None:
    """What could name another object is refused before anything is made of it."""
    with pytest.raises(InvalidArgumentError, match=r"OwnerQuota\.key"):
        workspaces.lease(new_id(), Quota(owner=OwnerQuota(key)))  # type: ignore[arg-type]
