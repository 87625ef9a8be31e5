"""Links by which a browser fetches a file from the bucket itself: short-lived, one file, saved and never shown."""

import urllib.error
import urllib.request
from datetime import timedelta
from email.message import Message
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from sessionguard.errors import InvalidArgumentError, PathEscapeError
from sessionguard.workspaces.links import attachment
from sessionguard.workspaces.s3 import MAX_LINK, S3Workspace


def fetched(url: str) -> tuple[bytes, Message]:
    """Fetch as anybody would, without credentials."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as reply:
        return reply.read(), reply.headers


def test_whoever_has_the_link_fetches_the_file(workspace: S3Workspace) -> None:
    """Under the name and the type that were asked for, to be saved and not to be kept by caches."""
    workspace.write("reports/Übersicht.csv", b"a,b\n")
    url = workspace.download_url("reports/Übersicht.csv", content_type="text/csv; charset=utf-8")

    content, headers = fetched(url)
    assert content == b"a,b\n"
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["Cache-Control"] == "private, no-store"
    assert (
        headers["Content-Disposition"] == "attachment; filename=\"_bersicht.csv\"; filename*=UTF-8''%C3%9Cbersicht.csv"
    )
    asked = parse_qs(urlsplit(url).query)
    assert asked["X-Amz-Expires"] == ["300"]
    assert "testing" not in unquote(url).replace("Credential=testing/", "")


def test_the_link_gives_the_file_as_it_was(workspace: S3Workspace) -> None:
    """What replaces it later is not shown to whoever has the link."""
    workspace.write("a", b"old")
    url = workspace.download_url("a")
    workspace.write("a", b"new")
    assert fetched(url)[0] == b"old"


@pytest.mark.parametrize("expires", [timedelta(0), MAX_LINK + timedelta(seconds=1), 300])
def test_long_links_are_refused(workspace: S3Workspace, expires: timedelta) -> None:
    """A link outlives a logout, so it has a bound."""
    workspace.write("a", b"1")
    with pytest.raises(InvalidArgumentError, match="expires"):
        workspace.download_url("a", expires=expires)


def test_what_is_not_there_has_no_link(workspace: S3Workspace) -> None:
    """Nor has what is no name."""
    with pytest.raises(FileNotFoundError):
        workspace.download_url("a")
    with pytest.raises(PathEscapeError):
        workspace.download_url("../a")
    workspace.write("a", b"1")
    with pytest.raises(InvalidArgumentError, match="content_type"):
        workspace.download_url("a", content_type="text/html\r\nSet-Cookie: a=b")


@pytest.mark.parametrize(
    "filename, header",
    [
        ("plain.csv", 'attachment; filename="plain.csv"'),
        ('a"b.csv', "attachment; filename=\"a_b.csv\"; filename*=UTF-8''a%22b.csv"),
        ("a\\b/c;d.csv", "attachment; filename=\"a_b_c_d.csv\"; filename*=UTF-8''a%5Cb%2Fc%3Bd.csv"),
        ("100%.csv", "attachment; filename=\"100_.csv\"; filename*=UTF-8''100%25.csv"),
        ("é'*.csv", "attachment; filename=\"___.csv\"; filename*=UTF-8''%C3%A9%27%2A.csv"),
    ],
)
def test_names_cannot_leave_their_header(filename: str, header: str) -> None:
    """Every name becomes one that old browsers read, and one that says it exactly (RFC 8187)."""
    assert attachment(filename) == header


@pytest.mark.parametrize("filename", ["", "a\r\nb", "a\0b", "\ud800", 3])
def test_what_is_no_name_of_a_file_is_refused(filename: str) -> None:
    """Line breaks and what cannot be encoded are refused before anything is signed."""
    with pytest.raises(InvalidArgumentError, match="filename"):
        attachment(filename)
