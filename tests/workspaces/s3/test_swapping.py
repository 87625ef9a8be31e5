"""Requests that arrive when nobody waits for them any more: a change is made once, and what is told of it is true."""

from collections.abc import Callable

import pytest

from sessionguard.errors import QuotaExceededError, WorkspaceUnavailableError
from sessionguard.workspaces import Quota, Usage
from sessionguard.workspaces.s3 import S3Workspaces
from sessionguard.workspaces.s3.bucket import Bucket, Swap
from sessionguard.workspaces.s3.manifest import Manifest
from sessionguard.workspaces.s3.swapping import Swapped
from tests.workspaces.conftest import UNLIMITED
from tests.workspaces.s3.conftest import Contents, Place


class Late:
    """Holds the first conditional request back until just before the second, or until it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests = 0
        self.until = 2
        self.is_certain = True
        """Of the second one; False: the driver may have sent it twice."""
        self._swap = Bucket.swap
        self._held: Callable[[], Swap] | None = None
        monkeypatch.setattr(Bucket, "swap", lambda *arguments: self._sent(*arguments))

    def _sent(self, bucket: Bucket, key: str, data: bytes, etag: str | None) -> Swap:
        self.requests += 1
        if self.requests == 1:
            self._held = lambda: self._swap(bucket, key, data, etag)
            raise WorkspaceUnavailableError(None, "swap", "ReadTimeoutError")
        if self.requests == self.until:
            self.arrive()
        swap = self._swap(bucket, key, data, etag)
        return Swap(swap.etag, is_certain=self.is_certain or self.requests != self.until)

    def arrive(self) -> bool:
        """Let the first request arrive; tell whether it did something."""
        assert self._held is not None
        return self._held().etag is not None


def test_a_late_deletion_is_one(
    workspaces: S3Workspaces, session_id: str, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever deletes a file is told that there was one, although his first request came before his second."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
        late = Late(monkeypatch)
        assert workspace.delete("a")
        assert late.requests == 2
        assert workspace.list() == []


def test_a_late_claim_is_made_once(place: Place, session_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it covers is what fits; nothing is left claimed when the file is closed."""
    with place().lease(session_id, Quota(bytes=100, files=1)) as workspace:
        late = Late(monkeypatch)
        workspace.write("a", bytes(100))
        assert late.requests == 3
        assert workspace.usage() == Usage(100, 1)


def test_a_workspace_that_was_made_late_is_the_one_that_is_used(
    workspaces: S3Workspaces, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt to make it would have made another one."""
    late = Late(monkeypatch)
    late.is_certain = False
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        assert late.requests == 2
        workspace.write("a", b"1")
        assert workspace.list() == ["a"]


def test_who_is_refused_changes_nothing_later(
    workspaces: S3Workspaces, session_id: str, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second attempt that is refused, or has nothing to do, keeps the first from arriving after that was told."""
    with workspaces.lease(session_id, UNLIMITED) as workspace:
        workspace.write("a", b"1")
    for may_refuse in (True, False):
        with monkeypatch.context() as patched:
            late = Late(patched)
            late.until = 0
            judged: list[Manifest] = []

            def judge(manifest: Manifest, judged: list[Manifest] = judged, may_refuse: bool = may_refuse) -> bool:
                judged.append(manifest)
                if len(judged) == 1:
                    return manifest.take_away("a", 0.0)
                if may_refuse:
                    raise QuotaExceededError(session_id, 1, 2, "bytes")
                return False

            swapped = Swapped(
                contents.bucket,
                contents.layout.manifest(session_id),
                lambda text: Manifest.read(session_id, text or b""),
                lambda manifest: manifest.text(session_id),
            )
            if may_refuse:
                with pytest.raises(QuotaExceededError):
                    swapped.change(judge)
            else:
                assert not swapped.change(judge)
            assert len(judged) == 2
            assert not late.arrive()
            assert list(swapped.look().files) == ["a"]
