"""Cases about many files at once: all of them or none, as pairs or as an archive."""

import io
import zipfile
from collections.abc import Iterator

from sessionguard.errors import ArchiveRefusedError, PathEscapeError, QuotaExceededError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import Site, refused
from sessionguard.workspaces.limits import ArchiveLimits
from sessionguard.workspaces.quota import Quota, Usage


@case
def many_files_appear_together(site: Site) -> None:
    """Until the last of them is whole, none is seen and none replaced; then all are there."""
    with site.leased() as workspace:
        workspace.write("a/b", b"old")

        def files() -> Iterator[tuple[str, bytes | str]]:
            yield "a/b", b"new"
            yield "c", "text"
            assert workspace.list() == ["a/b"]
            assert workspace.read("a/b") == b"old"
            yield "a/d", b"3"

        assert workspace.write_all(files()) == ["a/b", "a/d", "c"]
        assert {name: workspace.read(name) for name in workspace.list()} == {"a/b": b"new", "a/d": b"3", "c": b"text"}
        assert workspace.usage() == Usage(8, 3)
        assert workspace.write_all([]) == []


@case
def of_many_files_none_appears_if_one_fails(site: Site) -> None:
    """A name that is refused or taken, a source that fails, a quota that is full: then none of them is there."""
    with site.leased(Quota(bytes=20, files=3)) as workspace:
        workspace.write("old", b"old")

        def source() -> Iterator[bytes]:
            yield b"part"
            raise ConnectionError

        many: list[tuple[type[Exception], list[tuple[str, object]]]] = [
            (PathEscapeError, [("a", b"1"), ("../b", b"2")]),
            (PathEscapeError, [("a", b"1"), ("a", b"2")]),
            (PathEscapeError, [("a", b"1"), ("A", b"2")]),
            (PathEscapeError, [("a", b"1"), ("a/b", b"2")]),
            (PathEscapeError, [("a", b"1"), ("OLD", b"2")]),
            (PathEscapeError, [("a", b"1"), ("old/b", b"2")]),
            (ConnectionError, [("a", b"1"), ("b", source())]),
            (QuotaExceededError, [("a", b"1" * 10), ("b", b"2" * 10)]),
            (QuotaExceededError, [("a", b"1"), ("b", b"2"), ("c", b"3")]),
            (FileExistsError, [("a", b"1"), ("old", b"2")]),
        ]
        for error, files in many:
            refused(error, lambda files=files: workspace.write_all(files, replace=False))  # type: ignore[misc]
            assert workspace.list() == ["old"]
            assert workspace.read("old") == b"old"
        asked = iter([("a", b"1")])
        refused(QuotaExceededError, lambda: workspace.write_all(asked, expected=Usage(18, 0)))
        assert list(asked) == [("a", b"1")], "what cannot fit is refused before the first file is taken"
        assert workspace.write_all([("a", b"1" * 10), ("b", b"2" * 7)], replace=False) == ["a", "b"]


@case
def an_archive_comes_back_as_it_went(site: Site) -> None:
    """An export holds every file under its name, and its import gives the same files elsewhere."""
    with site.leased() as workspace:
        workspace.write("a/b.csv", b"1,2\n" * 50_000)
        workspace.write("été", b"\0\xff")
        exported = io.BytesIO()
        told = workspace.export_zip(exported)
        assert (told.names, told.bytes, told.missing) == (("a/b.csv", "été"), 200_002, ())
        with zipfile.ZipFile(exported) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["a/b.csv", "été"]
        assert workspace.import_zip(exported, into="copy") == ["copy/a/b.csv", "copy/été"]
        assert workspace.read("copy/a/b.csv") == workspace.read("a/b.csv")
    with site.leased() as other:
        assert other.import_zip(exported) == ["a/b.csv", "été"]


@case
def a_refused_archive_leaves_nothing(site: Site) -> None:
    """One hostile, damaged or taken name, a limit, a quota: no file of the archive is there."""
    with site.leased(Quota(bytes=5000)) as workspace:
        workspace.write("old", b"old")
        for error, archive, limits in (
            (ArchiveRefusedError, _zip(good=b"1", **{"../evil": b"2"}), ArchiveLimits()),
            (ArchiveRefusedError, _damaged(), ArchiveLimits()),
            (ArchiveRefusedError, _zip(a=b"1", b=b"2"), ArchiveLimits(files=1)),
            (QuotaExceededError, _zip(a=b"1", b=bytes(6000)), ArchiveLimits()),
            (FileExistsError, _zip(a=b"1", old=b"2"), ArchiveLimits()),
        ):
            refused(error, lambda archive=archive, limits=limits: workspace.import_zip(archive, limits=limits))  # type: ignore[misc]
            assert workspace.list() == ["old"]
        assert workspace.import_zip(_zip(a=b"1", old=b"2"), replace=True) == ["a", "old"]


def _zip(**files: bytes) -> io.BytesIO:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in files.items():
            written.writestr(name, content)
    return archive


def _damaged() -> io.BytesIO:
    """Give an archive whose second file is not what its CRC says."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("a", b"first")
        written.writestr("b", b"second")
    return io.BytesIO(archive.getvalue().replace(b"second", b"sec0nd", 1))
