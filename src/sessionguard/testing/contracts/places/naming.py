"""Cases about names: what is accepted, what is refused, and what is one name."""

import unicodedata

from sessionguard.errors import PathEscapeError
from sessionguard.testing.contracts.places.cases import case
from sessionguard.testing.contracts.places.site import Site, refused

_ORDINARY = [
    "Report (final), v1.2+3=4 @home_x-y.tar.gz",
    "a/b/c.shp",
    "x" * 255,
    "données/été.csv",
    "日本語.txt",
    "مرحبا.csv",
]
_REFUSED = [
    *("", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "%2e%2e/x", "a\\b", "c:x", "a\0b", "a\n", "-rf"),
    *(".hidden", " a", "a ", "x.", "*", "$HOME", "con.csv", "com¹", "a．．/b", "½", "a\u202etxt", "a\u200bb"),
    *("\ufeffa", "\u0301a", "a\ud800", "x" * 256, "é" * 128, "/".join("a" * 9), None, b"a", 1),
]  # fmt: skip


@case
def ordinary_names_are_listed_as_they_were_given(site: Site) -> None:
    """A file with an ordinary name in any script is listed and read under that name."""
    with site.leased() as workspace:
        for name in _ORDINARY:
            workspace.write(name, name)
        assert workspace.list() == sorted(_ORDINARY)
        assert [workspace.read(name).decode() for name in _ORDINARY] == _ORDINARY


@case
def names_off_the_allow_list_are_refused_by_every_call(site: Site) -> None:
    """What could lead outside, or be read as another name, is refused by every call, and nothing is made."""
    with site.leased() as workspace:
        for name in _REFUSED:
            for call in (workspace.read, workspace.delete, workspace.open, lambda n: workspace.write(n, b"x")):
                refused(PathEscapeError, lambda call=call, name=name: call(name))  # type: ignore[misc]
            refused(PathEscapeError, lambda name=name: workspace.write_all([(name, b"x")]))  # type: ignore[misc]
        assert workspace.list() == []
        assert workspace.usage().files == 0


@case
def composed_and_decomposed_are_one_name(site: Site) -> None:
    """A name in NFC and in NFD is one file, listed in NFC."""
    with site.leased() as workspace:
        workspace.write(unicodedata.normalize("NFD", "é.txt"), b"1")
        assert workspace.list() == ["é.txt"]
        assert workspace.read("é.txt") == b"1"
        assert workspace.delete(unicodedata.normalize("NFD", "é.txt")) is True


@case
def names_that_look_alike_cannot_stand_side_by_side(site: Site) -> None:
    """A name that differs from an existing one only in case or form is refused, also when both were begun at once."""
    with site.leased() as workspace:
        for first, second in (("readme", "README"), ("straße", "STRASSE"), ("sub/a", "SUB/b"), ("x2", "x²")):
            workspace.write(first, b"first")
            refused(PathEscapeError, lambda name=second: workspace.write(name, b"second"))  # type: ignore[misc]
            assert workspace.read(first) == b"first"
        one, other = workspace.open("b", "wb"), workspace.open("B", "wb")
        one.close()
        refused(PathEscapeError, other.close)
        assert workspace.list() == sorted(["readme", "straße", "sub/a", "x2", "b"])


@case
def a_file_is_no_directory(site: Site) -> None:
    """A name goes neither through a file nor to what holds files."""
    with site.leased() as workspace:
        workspace.write("a", b"1")
        workspace.write("d/b", b"2")
        refused(PathEscapeError, lambda: workspace.write("a/x", b"3"))
        refused(PathEscapeError, lambda: workspace.write("d", b"3"))
        assert workspace.list() == ["a", "d/b"]
