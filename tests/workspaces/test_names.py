"""Names: what is accepted, what is mapped, what is refused."""

import secrets
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessionguard.errors import PathEscapeError
from sessionguard.testing import DEEP, Profile
from sessionguard.workspaces import LocalWorkspace, LocalWorkspaces, nearest_name
from sessionguard.workspaces.names import MAX_COMPONENTS, collision_key, parse_name

SID = "0" * 34

ACCEPTED = [
    "a",
    "data.csv",
    "a/b/c.shp",
    "Report (final), v1.2+3=4 @home_x-y.tar.gz",
    "x[1].txt",
    "grüße.txt",
    "données/été.csv",
    "مرحبا.csv",
    "日本語.txt",
    "हिन्दी.csv",
    "_hidden",
    "(1)",
    "a..b",
    "console.txt",
    "COM10",
    "x" * 255,
    "/".join("abcdefgh"),
]

REFUSED = {
    "empty": "",
    "dot": ".",
    "parent": "..",
    "parent first": "../x",
    "parent inside": "a/../b",
    "parent last": "a/..",
    "dot inside": "a/./b",
    "absolute": "/nonexistent/passwd",
    "twice absolute": "//x",
    "empty component": "a//b",
    "slash last": "a/",
    "percent": "%2e%2e/x",
    "backslash": "a\\b",
    "backslash parent": "..\\x",
    "drive": "c:x",
    "stream": "x:y",
    "nul": "a\0b",
    "trailing newline": "a\n",
    "newline": "a\nb",
    "tab": "a\tb",
    "escape": "a\x1bb",
    "delete": "a\x7f",
    "c1": "a\x85b",
    "hidden": ".profile",
    "hidden below": "a/.x",
    "hyphen": "-rf",
    "leading space": " a",
    "trailing space": "a ",
    "trailing dot": "x.",
    "wildcard": "*",
    "question": "a?",
    "tilde": "~root",
    "pipe": "a|b",
    "quote": 'a"b',
    "angle": "<script>",
    "dollar": "$HOME",
    "device": "CON",
    "device with extension": "con.csv",
    "device with extensions": "nul.tar.gz",
    "device with space": "aux .txt",
    "device below": "a/COM1",
    "device by superscript": "com¹",
    "device in full width": "ＣＯＮ",
    "printer": "LPT9.txt",
    "full stop that is one": "a．．/b",
    "one dot leader": "․․/x",
    "fraction that holds a slash": "½",
    "digit that ends in a dot": "1⒈",
    "right to left override": "a\u202etxt.exe",
    "left to right mark": "a\u200eb",
    "isolate": "a\u2066b",
    "zero width space": "a\u200bb",
    "zero width joiner": "a\u200db",
    "byte order mark": "\ufeffa",
    "soft hyphen": "a\u00adb",
    "variation selector": "a\ufe0f",
    "hangul filler": "a\u3164",
    "grapheme joiner": "a\u034fb",
    "mark first": "\u0301a",
    "surrogate": "a\ud800",
    "escaped byte": "a\udcff",
    "private use": "a\ue000",
    "unassigned": "a\U000e0080",
    "line separator": "a\u2028b",
    "no-break space": "a\u00a0b",
    "256 bytes": "x" * 256,
    "256 bytes in letters of two": "é" * 128,
    "too deep": "/".join("a" * (MAX_COMPONENTS + 1)),
    "megabyte": "a" * 1_000_000,
    "megabyte of marks": "a" + "\u0301" * 1_000_000,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_t50_ordinary_names_are_written_and_listed_as_they_are(workspace: LocalWorkspace, name: str) -> None:
    """An ordinary name in any script is accepted and shown as it was given."""
    workspace.write(name, b"x")

    assert workspace.list() == [name]
    assert (workspace.path / name).read_bytes() == b"x"


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_t50_names_off_the_allow_list_are_refused_by_every_call(workspace: LocalWorkspace, name: str) -> None:
    """A name off the allow-list is refused by every call, and nothing is made."""
    for call in (workspace.read, workspace.delete, workspace.open, lambda name: workspace.write(name, b"x")):
        with pytest.raises(PathEscapeError):
            call(name)

    assert list(workspace.path.iterdir()) == []


@pytest.mark.parametrize(
    "first,second",
    [
        ("readme", "README"),
        ("straße", "STRASSE"),
        ("ﬁle", "file"),
        ("x2", "x²"),
        ("ｆｕｌｌ", "full"),
        ("sub/a", "SUB/b"),
        ("sub/a", "sub/A"),
        ("ΑΣ", "ας"),
    ],
)
def test_t50_a_name_that_another_system_takes_for_an_existing_one_is_refused(
    workspace: LocalWorkspace, first: str, second: str
) -> None:
    """Two names that differ only in case or form cannot stand side by side; the first stays as it is."""
    workspace.write(first, b"first")

    with pytest.raises(PathEscapeError):
        workspace.write(second, b"second")
    with pytest.raises(PathEscapeError):
        workspace.open(second, "xb")

    assert workspace.list() == [first]
    assert workspace.read(first) == b"first"


texts = st.text(max_size=40) | st.text(alphabet="./\\ab%:\0\n -é\u202e\u0301CON", max_size=12)


@given(name=texts)
@example(name="a/" * 9)
@settings(max_examples=500, deadline=None)
def test_t50_an_accepted_name_is_stable_and_plain(name: str) -> None:
    """Whatever is accepted means the same when parsed again, and holds nothing that a path could use."""
    try:
        parts = parse_name(SID, name)
    except PathEscapeError:
        return

    assert parse_name(SID, "/".join(parts)) == parts
    assert collision_key(parts[-1]) == collision_key(collision_key(parts[-1]))
    for part in parts:
        assert part not in ("", ".", "..")
        assert len(part.encode()) <= 255
        assert not set(part) & set('/\\:\0%*?"<>|\n\r~$`')


def test_t50_no_name_writes_outside(root: Path, workspaces: LocalWorkspaces, sg_profile: Profile) -> None:
    """Whatever the name, a write lands below `path` or is refused."""
    from tests.workspaces.conftest import UNLIMITED

    # In short runs few: each waits for the disk.
    @given(name=texts, mode=st.sampled_from(["wb", "xb"]))
    @settings(max_examples=500 if sg_profile is DEEP else 40, deadline=None)
    def lands_below(name: str, mode: str) -> None:
        canary = secrets.token_bytes(8)
        with workspaces.lease(secrets.token_hex(17), UNLIMITED) as workspace:
            try:
                with workspace.open(name, mode) as file:
                    file.write(canary)
            except PathEscapeError:
                return
            found = [path for path in root.parent.rglob("*") if path.is_file() and path.read_bytes() == canary]
            assert [path.is_relative_to(workspace.path) for path in found] == [True]
            workspace.delete(name)
            assert list(workspace.path.iterdir()) == []
        workspaces.remove(workspace.session_id)

    lands_below()


def test_t50_a_refusal_says_why_and_shows_the_name_harmlessly(workspace: LocalWorkspace) -> None:
    """The error names the rule and the session, and cannot forge a line of a log."""
    with pytest.raises(PathEscapeError, match="not allowed") as caught:
        workspace.read("a\nERROR forged")

    assert "\n" not in str(caught.value)
    assert caught.value.session_id == workspace.session_id


@pytest.mark.parametrize(
    "original, name",
    [
        ("it's.csv", "it_s.csv"),
        ("a&b;c.csv", "a_b_c.csv"),
        ("report #1 100%.csv", "report _1 100_.csv"),
        ("C:\\Users\\ana\\map.tif", "map.tif"),
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        ("", "file"),
        (".bashrc", "bashrc"),
        ("con.csv", "_con.csv"),
        ("\u0301a.csv", "_\u0301a.csv"),
        ("\N{GRINNING FACE}.csv", "_.csv"),
        ("e\u0301t\u00e9.csv", "\u00e9t\u00e9.csv"),
        ("\uff23\uff2f\uff2e", "_\uff23\uff2f\uff2e"),
        ("x" * 300 + ".geojson", "x" * 247 + ".geojson"),
        ("é" * 300, "é" * 127),
    ],
)
def test_the_nearest_name(original: str, name: str) -> None:
    """What the files of clients are called, and what a workspace can call them."""
    assert nearest_name(original) == name


@given(st.text(max_size=300) | st.sampled_from(ACCEPTED))
@example("a" * 254 + "\u0301")
@example("\u2024\u2024")
@example("\u00a0")
def test_the_nearest_name_of_anything_is_taken(original: str) -> None:
    """Whatever it is; and one that is taken is left as it is."""
    name = nearest_name(original)
    assert parse_name(SID, name) == (name,)
    assert nearest_name(name) == name
