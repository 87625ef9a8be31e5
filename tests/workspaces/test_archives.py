"""Archives: what is refused before a byte is unpacked, and what is counted while it is (T56)."""

import io
import os
import re
import secrets
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionguard.errors import ArchiveRefusedError, InvalidArgumentError, PathEscapeError, QuotaExceededError
from sessionguard.testing.model.folders import ModelWorkspace, ModelWorkspaces
from sessionguard.workspaces import ArchiveLimits, Quota, Workspace
from tests.workspaces.zips import STORE, Member, directory_of, end64_of, end_of, zip_of

LINK, DEVICE, PIPE, DIRECTORY = (kind << 16 for kind in (0o120777, 0o020666, 0o010666, 0o040755))


@pytest.fixture
def place() -> ModelWorkspace:
    """A workspace in memory: importing knows nothing of a place but its contract."""
    return leased(Quota())


def leased(quota: Quota) -> ModelWorkspace:
    """Give an empty workspace in memory."""
    workspaces = ModelWorkspaces()
    workspaces.open("deployment")
    return workspaces.lease(secrets.token_hex(17), quota)


def refusal(place: Workspace, archive: bytes, limits: ArchiveLimits | None = None) -> str:
    """Give why an archive is refused; nothing of it may be there."""
    before = place.list()
    with pytest.raises(ArchiveRefusedError) as caught:
        place.import_zip(io.BytesIO(archive), limits=limits or ArchiveLimits())
    assert place.list() == before
    return str(caught.value)


HOSTILE_ENTRIES = {
    "link": (Member(attributes=LINK), "it is a link"),
    "link of windows": (Member(attributes=0x400), "it is a link"),
    "device": (Member(attributes=DEVICE), "a device, a pipe or a socket"),
    "pipe": (Member(attributes=PIPE), "a device, a pipe or a socket"),
    "encrypted": (Member(flags=0x801), "encrypted"),
    "encrypted directory": (Member(flags=0x2800), "encrypted"),
    "patch": (Member(flags=0x820), "a patch"),
    "other volume": (Member(volume=1), "another volume"),
    "lzma": (Member(method=14), "method 14"),
    "absolute": (Member(name=b"/etc/passwd"), "empty component"),
    "parent": (Member(name=b"../x"), "may not start with a dot"),
    "backslash": (Member(name=b"..\\x"), "not allowed"),
    "cut at nul": (Member(name=b"a.txt\0.exe"), "not allowed"),
    "device of windows": (Member(name=b"aux.csv"), "device"),
    "no name": (Member(name=b""), "empty component"),
    "not utf-8": (Member(name=b"\xff\xfe"), "damaged"),
    "too deep": (Member(name=b"a/b/c/d/e/f/g/h/i"), "more than 8 components"),
    "directory that holds bytes": (Member(name=b"a/", attributes=DIRECTORY), "it is a file"),
    "directory by its kind only": (Member(data=b"", attributes=DIRECTORY), "it is a directory"),
    "directory of windows by its kind only": (Member(data=b"", attributes=0x10), "it is a directory"),
    "file by its kind only": (Member(name=b"a/", data=b""), "it is a file"),
    "stored with two sizes": (Member(method=STORE, size=9999), "two sizes"),
    "other name in its own record": (Member(local_name=b"b"), "different things"),
    "other method in its own record": (Member(local_method=STORE), "different things"),
    "hidden by another name": (
        Member(extra=struct.pack("<HHBL", 0x7075, 9, 1, zlib.crc32(b"a")) + b"../x"),
        "may not start with a dot",
    ),
    "behind the end": (Member(offset=10_000), "not where the directory says"),
    "further behind than a file can be sought": (
        Member(offset=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, 2**64 - 1)),
        "not where the directory says",
    ),
    "extra fields that take long to be read": (Member(extra=b"\x99\x99\0\0" * 4000), "16000 bytes of extra fields"),
    "in the directory": (Member(packed_size=60, size=60, method=STORE), "into the directory"),
    "wrong crc": (Member(crc=1), "Bad CRC-32"),
    "more than it says": (Member(data=b"x" * 100, size=99), "more than the 99"),
    "more than it says, with the crc of that": (
        Member(data=b"x" * 100, size=99, crc=zlib.crc32(b"x" * 99)),
        "damaged|more than",
    ),
    "less than it says": (Member(data=b"x" * 100, size=101), "only 100 than the 101"),
    "no deflate": (Member(method=STORE, local_method=8), "different things"),
}


@pytest.mark.parametrize("member, problem", HOSTILE_ENTRIES.values(), ids=HOSTILE_ENTRIES)
def test_t56_a_hostile_entry_is_refused_with_the_whole_archive(
    place: ModelWorkspace, member: Member, problem: str
) -> None:
    """One such entry among good ones, and nothing of the archive is there."""
    place.write("old", b"old")
    told = refusal(place, zip_of(Member(name=b"good"), member, Member(name=b"last")))
    assert re.search(problem, told), told
    assert place.read("old") == b"old"


@pytest.mark.parametrize(
    "names",
    [
        (b"a", b"a"),
        (b"a", b"A"),
        ("é".encode(), "e\u0301".encode()),
        (b"stra\xc3\x9fe", b"STRASSE"),
        (b"a", b"a/b"),
        (b"a/b", b"a"),
        (b"a/b", b"A/c"),
        (b"a", b"a/"),
        (b"a/", b"a/"),
    ],
)
def test_t56_entries_that_are_one_name_to_somebody_are_refused(
    place: ModelWorkspace, names: tuple[bytes, bytes]
) -> None:
    """Twice the same, in another case, in another form, or a file where a directory has to be."""
    kinds = [DIRECTORY if name.endswith(b"/") else 0 for name in names]
    refusal(place, zip_of(*(Member(name=n, data=b"", attributes=k) for n, k in zip(names, kinds, strict=True))))


@pytest.mark.parametrize("existing, name", [("Data.csv", b"data.csv"), ("a", b"a/b"), ("a/b", b"a")])
def test_a_name_beside_those_that_are_there_is_judged_before_a_byte_is_unpacked(
    place: ModelWorkspace, existing: str, name: bytes
) -> None:
    """A twin of a file that is there is refused although the archive alone is good."""
    place.write(existing, b"old")
    with pytest.raises(PathEscapeError):
        place.import_zip(io.BytesIO(zip_of(Member(name=name, crc=1))), replace=True)
    assert place.list() == [existing]


def test_t56_entries_that_share_bytes_are_refused(place: ModelWorkspace) -> None:
    """Fifield's bomb: many entries over one packed kernel, whole or quoting the records between."""
    kernel = Member(name=b"0", data=bytes(100_000))
    whole = [kernel, *(Member(name=b"%d" % n, data=bytes(100_000), offset=0, local_name=b"") for n in range(1, 50))]
    files, directory = kernel.local + kernel.packed, b"".join(m.record(0) for m in whole)
    archive = files + directory + end_of(50, len(directory), len(files))
    assert "shares bytes" in refusal(place, archive, ArchiveLimits(ratio=1100))

    inner = Member(name=b"1", data=b"x" * 50, method=STORE)
    quoted = inner.local + inner.packed
    outer = Member(name=b"0", data=quoted, method=STORE)
    directory = outer.record(0) + inner.record(len(outer.local))
    archive = outer.local + quoted + directory + end_of(2, len(directory), len(outer.local) + len(quoted))
    assert zipfile.ZipFile(io.BytesIO(archive)).read("1") == b"x" * 50
    assert "shares bytes" in refusal(place, archive)


def test_an_overlap_that_only_the_own_record_shows_is_refused(place: ModelWorkspace) -> None:
    """A longer extra field than the directory can tell moves the data of an entry into the next one."""
    first, second = Member(name=b"0", local_extra=bytes(20)), Member(name=b"1")
    files = first.local + first.packed + second.local + second.packed
    directory = first.record(0) + second.record(len(first.local) + len(first.packed) - 20)
    refusal(place, files + directory + end_of(2, len(directory), len(files)))


def test_limits_are_judged_by_what_the_archive_says(place: ModelWorkspace) -> None:
    """Number of entries, all bytes, depth, and the ratio of large files or of all files together."""
    three = zip_of(*(Member(name=b"d/%d" % n, data=b"x" * 100) for n in range(3)))
    assert "3 entries, at most 2" in refusal(place, three, ArchiveLimits(files=2))
    assert "300 bytes, at most 299" in refusal(place, three, ArchiveLimits(bytes=299))
    assert "deeper than 1" in refusal(place, three, ArchiveLimits(depth=1))
    large = zip_of(Member(data=bytes(2**21)))
    assert "more than 200 times" in refusal(place, large)
    many = zip_of(*(Member(name=b"%d" % n, data=bytes(2**19)) for n in range(4)))
    assert "more than 200 times" in refusal(place, many)

    place.import_zip(io.BytesIO(three), limits=ArchiveLimits(files=3, bytes=300, depth=2))
    place.import_zip(io.BytesIO(large), limits=ArchiveLimits(ratio=1100))
    assert len(place.list()) == 4
    for wrong in ({"files": 0}, {"bytes": -1}, {"ratio": True}, {"depth": "1"}):
        with pytest.raises(InvalidArgumentError, match="greater than 0"):
            ArchiveLimits(**wrong)


class Counting(io.BytesIO):
    """Counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def million_entries() -> list[bytes]:
    """Give archives of a million entries: told openly, hidden behind a small number, and hidden behind no bytes."""
    record = Member(data=b"").record(0)
    files, directory = Member(data=b"").local, record * 1_000_000
    return [
        files + directory + end64_of(1_000_000, len(directory), len(files)),
        files + directory + end_of(5, len(directory), len(files)),
        files + directory + end_of(5, len(record) * 5, len(files)),
    ]


@pytest.mark.parametrize("number", range(3))
def test_t56_a_million_entries_are_refused_by_the_end_of_the_archive(place: ModelWorkspace, number: int) -> None:
    """Whatever the archive says, less than 150 KB of it are read, and no memory is taken for its entries."""
    file = Counting(million_entries()[number])
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveRefusedError):
            place.import_zip(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.count < 150_000
    assert peak < 1_000_000


BROKEN_ENDS = {
    "empty": b"",
    "no archive": b"x" * 1000,
    "cut": zip_of(Member())[:-1],
    "something after": zip_of(Member(), after=b"x"),
    "something before": zip_of(Member(), before=b"#!/bin/sh\n"),
    "fewer entries told": zip_of(Member(), Member(name=b"b"), count=1),
    "more entries told": zip_of(Member(), count=2),
    "several volumes": zip_of() [:0] + end_of(0, 0, 0, disk=1),
    "zip64 end elsewhere": end64_of(0, 0, 0, pointer=7),
    "an end within the comment": end_of(0, 0, 0, end_of(0, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("archive", BROKEN_ENDS.values(), ids=BROKEN_ENDS)
def test_an_archive_without_one_clear_end_is_refused(place: ModelWorkspace, archive: bytes) -> None:
    """What readers could understand in two ways is not read at all."""
    refusal(place, archive)


def test_honest_archives_of_other_programs_are_taken(place: ModelWorkspace) -> None:
    """Comments, zip64, names in the old code page, in plain UTF-8 and in a field of their own, and directories."""
    other = struct.pack("<HHBL", 0x7075, 5 + 3, 1, zlib.crc32(b"x")) + "ü1".encode()
    members = [
        Member(name=b"\x81.txt", flags=0),
        Member(name="grün.txt".encode(), flags=0),
        Member(name=b"x", flags=0, extra=other),
        Member(name=b"dir/", data=b"", attributes=DIRECTORY | 0x10),
        Member(name=b"dir/in", method=STORE),
    ]
    files, directory = directory_of(members)
    commented = files + directory + end_of(5, len(directory), len(files), b"made by hand")
    names = ["dir/in", "grün.txt", "ü.txt", "ü1"]
    assert place.import_zip(io.BytesIO(commented)) == names
    large = files + directory + end64_of(5, len(directory), len(files))
    assert place.import_zip(io.BytesIO(large), into="in") == [f"in/{name}" for name in names]
    assert place.read("in/ü1") == b"content"
    assert place.import_zip(io.BytesIO(end_of(0, 0, 0))) == []


def test_the_quota_is_asked_before_a_byte_is_unpacked() -> None:
    """An archive whose files cannot fit is refused though each of its entries is damaged."""
    archive = io.BytesIO(zip_of(Member(name=b"a", crc=1), Member(name=b"b", crc=1)))
    for quota in (Quota(bytes=13), Quota(files=1)):
        with pytest.raises(QuotaExceededError):
            leased(quota).import_zip(archive)


def test_an_existing_file_is_replaced_only_if_asked(place: ModelWorkspace) -> None:
    """Without `replace` the first name that is taken refuses all."""
    place.write("b", b"old")
    archive = io.BytesIO(zip_of(Member(name=b"a"), Member(name=b"b")))
    with pytest.raises(FileExistsError, match="replace=True"):
        place.import_zip(archive)
    assert place.list() == ["b"]
    assert place.import_zip(archive, replace=True) == ["a", "b"]
    assert place.read("b") == b"content"


@pytest.mark.parametrize("into", ["/a", "..", "a//b", "a/b/c/d/e/f/g/h"])
def test_into_is_a_name(place: ModelWorkspace, into: str) -> None:
    """Where the files go is judged like a name, together with theirs."""
    with pytest.raises((PathEscapeError, ArchiveRefusedError)):
        place.import_zip(io.BytesIO(zip_of(Member())), into=into)
    assert place.list() == []


def test_a_stream_that_cannot_be_sought_is_refused_with_the_remedy(place: ModelWorkspace) -> None:
    """The directory is at the end, so a socket has to be written to a file first."""
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader, "rb") as stream, pytest.raises(InvalidArgumentError, match="to a file first"):
        place.import_zip(stream)


def test_an_export_is_the_same_bytes_each_time(place: ModelWorkspace, tmp_path: Path) -> None:
    """To a path or to a file, whenever it is written, in the order of names; and it comes back as it was."""
    for name in ("b", "a/z", "a/b"):
        place.write(name, name * 1000)
    first, second = tmp_path / "first.zip", io.BytesIO()
    exported = place.export_zip(first)
    place.export_zip(second)
    assert first.read_bytes() == second.getvalue()
    assert (exported.names, exported.bytes, exported.missing) == (("a/b", "a/z", "b"), 7000, ())
    assert first.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["first.zip"]
    assert place.import_zip(first, into="copy") == ["copy/a/b", "copy/a/z", "copy/b"]
    assert place.read("copy/b") == place.read("b")
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None


def test_a_file_removed_during_an_export_is_told(place: ModelWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out of the archive, and named."""
    place.write("a", b"1")
    monkeypatch.setattr(place, "list", lambda: ["a", "b"])
    exported = place.export_zip(io.BytesIO())
    assert (exported.names, exported.missing) == (("a",), ("b",))


def test_an_export_that_fails_leaves_no_archive(
    place: ModelWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path keeps what it had; what is in a file cannot be taken for a whole archive."""
    place.write("a", b"1")
    place.write("b", b"2")
    path, file = tmp_path / "a.zip", io.BytesIO()
    path.write_bytes(b"old")
    real = place.open

    def failing(name: str, mode: str = "rb") -> object:
        if name == "b":
            raise OSError(5, "Input/output error")
        return real(name, mode)

    monkeypatch.setattr(place, "open", failing)
    for target in (path, file):
        with pytest.raises(OSError, match="Input/output"):
            place.export_zip(target)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.zip"]
    assert not zipfile.is_zipfile(file)


GOOD = zip_of(
    Member(name=b"a", data=b"one"), Member(name=b"d/b", data=bytes(3000)), Member(name=b"c", data=b"3", method=STORE)
)
members = st.builds(
    Member,
    name=st.sampled_from([b"a", b"A", b"d/", b"d/b", b"../x", b"a\0", "é".encode(), b"\xff"]) | st.binary(max_size=6),
    data=st.binary(max_size=40) | st.integers(0, 5000).map(bytes),
    method=st.sampled_from([0, 8, 8, 8, 12, 14]),
    flags=st.sampled_from([0, 0x800, 0x800, 0x801, 8]),
    attributes=st.sampled_from([0, 0, 0x10, LINK, DIRECTORY, 0o100644 << 16]),
    size=st.none() | st.none() | st.integers(0, 2**32 - 1),
    packed_size=st.none() | st.none() | st.integers(0, 200),
    crc=st.none() | st.none() | st.just(0),
    extra=st.just(b"") | st.binary(max_size=12),
    offset=st.none() | st.none() | st.integers(0, 300),
    local_extra=st.just(b"") | st.binary(max_size=12),
)
flips = st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4)


def flipped(changes: list[tuple[int, int]]) -> bytes:
    """Give a good archive with some bytes changed."""
    archive = bytearray(GOOD)
    for at, value in changes:
        archive[at] = value
    return bytes(archive)


archives = st.lists(members, max_size=4).map(lambda drawn: zip_of(*drawn)) | flips.map(flipped)


@given(archive=archives, cut=st.none() | st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_t56_whatever_the_archive_all_of_it_comes_or_nothing(archive: bytes, cut: int | None) -> None:
    """A drawn archive is refused and leaves nothing, or gives what it said: within the limits, by accepted names."""
    place = leased(Quota(bytes=6000, files=4))
    place.write("old", b"old")
    limits = ArchiveLimits(files=5, bytes=5000)
    try:
        imported = place.import_zip(io.BytesIO(archive[:cut]), limits=limits)
    except (ArchiveRefusedError, QuotaExceededError, PathEscapeError, FileExistsError):
        assert place.list() == ["old"]
        assert not place.folder.unfinished
        return
    assert place.list() == sorted([*imported, "old"])
    assert sum(len(place.read(name)) for name in imported) <= limits.bytes
    with zipfile.ZipFile(io.BytesIO(archive[:cut])) as read:
        contents = sorted(read.read(info) for info in read.infolist() if not info.filename.endswith("/"))
    assert contents == sorted(place.read(name) for name in imported)
