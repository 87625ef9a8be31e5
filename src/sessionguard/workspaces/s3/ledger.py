"""What one leased workspace may still take in, and how a file becomes visible in it: through its manifest alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from sessionguard.core.commands import Fence
from sessionguard.errors import (
    LeaseLostError,
    QuotaExceededError,
    SessionGuardError,
    WorkspaceError,
    WorkspaceUnavailableError,
)
from sessionguard.workspaces.quota import OwnerQuota, Quota, Usage
from sessionguard.workspaces.s3.bucket import MOST_KEYS, Bucket
from sessionguard.workspaces.s3.layout import Layout, new_content
from sessionguard.workspaces.s3.manifest import Claim, Entry, Manifest, Share
from sessionguard.workspaces.s3.owners import OwnerShares
from sessionguard.workspaces.s3.swapping import Swapped

Result = TypeVar("Result")

_ATTEMPTS: Final = 3
_GIVEN_UP: Final = "an unfinished file was given up after too long; write it again"


class _ClaimLapsedError(Exception):
    """The writer was taken for dead meanwhile, or a name that it was to replace has gone."""

    def __init__(self, new: int) -> None:
        super().__init__()
        self.new = new
        """How many of its names are new."""


class Ledger:
    """The manifest of one workspace, seen through one lease with its quota, and under a lock with its fence."""

    def __init__(
        self,
        bucket: Bucket,
        layout: Layout,
        session_id: str,
        quota: Quota,
        fence: Fence | None,
        clock: Callable[[], float],
    ) -> None:
        self.session_id = session_id
        self.bucket = bucket
        self.layout = layout
        self._quota = quota
        self._fence = fence
        self._clock = clock
        self._incarnation: str | None = None
        self._forgotten: set[str] = set()
        self._book: OwnerShares | None = None
        key = layout.manifest(session_id)
        self._swapped = Swapped(bucket, key, self._read, lambda manifest: manifest.text(session_id))

    def key_of(self, content: str) -> str:
        """Give the key of a content of this workspace."""
        return self.layout.content(self.session_id, content)

    def enter(self) -> None:
        """Make the manifest on first use, and show the fence to all who come with a lower one.

        Raises:
            LeaseLostError: the workspace is being removed.
            LockLostError: someone with a higher fence has been here.
        """

        def show(manifest: Manifest, now: float) -> str:
            manifest.begin_anew()
            if self._quota.owner is not None:
                manifest.owner = self._quota.owner.key
            return manifest.incarnation

        self._incarnation = self._change(show)

    def look(self) -> Manifest:
        """Give the manifest as it is now.

        Raises:
            LeaseLostError: the workspace was removed.
        """
        manifest = self._swapped.look()
        manifest.require_open(self.session_id, self._incarnation)
        return manifest

    def begin(self, names: Sequence[str], expected: Usage, *, replace: bool) -> str:
        """Claim room for files of these names, if given, and for what is expected; give the claim, a new content.

        Raises:
            QuotaExceededError, PathEscapeError, FileExistsError: they cannot be written.
        """
        claim = new_content()

        def enter(manifest: Manifest, now: float) -> Share:
            new = manifest.count_new(self.session_id, names, replace=replace)
            more = Usage(expected.bytes, max(expected.files, new))
            self._admit(manifest, more, now)
            manifest.enter_claim(claim, more, now)
            return manifest.share(now)

        share = self._change(enter)
        try:
            self._cover(share)
        except QuotaExceededError:
            self.drop(claim)
            raise
        except SessionGuardError:
            self.forget(claim)
            raise
        return claim

    def reserve(self, claim: str, extent: Usage) -> Usage:
        """Have `claim` cover at least `extent` in all, and give what it covers.

        Raises:
            QuotaExceededError: it does not fit.
            WorkspaceError: the writer was taken for dead, and what it had stored was removed.
        """
        try:
            return self._reserve(claim, extent, may_step=True)
        except QuotaExceededError as error:
            if error.whose != "owner":
                raise
        # What was claimed beyond what is needed may be what his other sessions left no room for.
        return self._reserve(claim, extent, may_step=False)

    def _reserve(self, claim: str, extent: Usage, *, may_step: bool) -> Usage:
        def enter(manifest: Manifest, now: float) -> tuple[Usage, Share]:
            if manifest.is_given_up(claim):
                raise WorkspaceError(self.session_id, _GIVEN_UP)
            held = manifest.claims.get(claim, Claim(0, 0, 0))
            need = Usage(max(0, extent.bytes - held.bytes), max(0, extent.files - held.files))
            self._admit(manifest, need, now)
            granted = manifest.step(self._quota, need.bytes, now) if need.bytes and may_step else need.bytes
            manifest.enter_claim(claim, Usage(granted, need.files), now)
            if not may_step:
                manifest.narrow_claim(claim, extent)
            return manifest.extent_of(claim), manifest.share(now)

        covered, share = self._change(enter)
        self._cover(share)
        return covered

    def publish(self, claim: str, files: Mapping[str, Entry], *, replace: bool) -> None:
        """Give names the contents that were stored, all in one step; what they had before is kept a while for readers.

        Raises:
            QuotaExceededError, PathEscapeError, FileExistsError, LeaseLostError, LockLostError: it was not done.
            WorkspaceUnavailableError: it may or may not have been done.
        """
        size = sum(entry.bytes for entry in files.values())

        def show(manifest: Manifest, now: float) -> None:
            if files.items() <= manifest.files.items():
                # By an attempt that was thought lost.
                manifest.claims.pop(claim, None)
                return
            held = manifest.claims.get(claim)
            new = manifest.count_new(self.session_id, files, replace=replace)
            if held is None or held.bytes < size or held.files < new:
                raise _ClaimLapsedError(new)
            del manifest.claims[claim]
            for name, entry in files.items():
                manifest.publish(name, entry.content, entry.bytes, now)

        for _ in range(_ATTEMPTS):
            try:
                return self._change(show)
            except _ClaimLapsedError as lapsed:
                self._revive(claim, files, Usage(size, lapsed.new))
        raise WorkspaceUnavailableError(self.session_id, "publish", "its claim lapsed again and again")

    def drop(self, claim: str) -> None:
        """Take a claim out of which nothing will be published."""

        def give_back(manifest: Manifest, now: float) -> None:
            manifest.claims.pop(claim, None)

        with suppress(LeaseLostError):
            # Whoever lost the lock may do this, too.
            self._change(give_back, is_fenced=False)

    def forget(self, claim: str) -> None:
        """Have the next change take a claim out. Waits for nothing."""
        self._forgotten.add(claim)

    def delete(self, name: str) -> bool:
        """Take a file out; False if there was none."""
        return self._change(lambda manifest, now: manifest.take_away(name, now))

    def condemn(self, contents: list[str], now: float) -> None:
        """Remove contents that no file has and nobody writes, and what else may go."""
        self._change(lambda manifest, _now: [manifest.condemn(content, now) for content in contents], now=now)
        # What is condemned may go only when all can see that it is: each change begins by removing what may go.
        self._change(lambda manifest, _now: None, now=now)

    def _revive(self, claim: str, files: Mapping[str, Entry], extent: Usage) -> None:
        """Claim again, after which nobody removes the contents, and only then look whether they are still there."""
        self.reserve(claim, extent)
        for entry in files.values():
            if self.bucket.size_of(self.key_of(entry.content)) != entry.bytes:
                raise WorkspaceError(self.session_id, _GIVEN_UP)

    def _cover(self, share: Share) -> None:
        """Have the book of the owner cover what the manifest speaks for; before that, no byte of it is stored."""
        if share.owner is None:
            return
        if self._book is None or self._book.key != share.owner:
            self._book = OwnerShares(self.bucket, self.layout, share.owner, self._clock)
        limits = self._quota.owner or OwnerQuota(share.owner)
        self._book.cover(self.session_id, share.usage, limits)

    def _admit(self, manifest: Manifest, more: Usage, now: float) -> None:
        excess = manifest.excess(self._quota, more, now)
        if excess is not None:
            raise QuotaExceededError(self.session_id, *excess)

    def _change(
        self, judge: Callable[[Manifest, float], Result], *, is_fenced: bool = True, now: float | None = None
    ) -> Result:
        def judged(manifest: Manifest) -> tuple[Result, list[str]]:
            at = self._clock() if now is None else now
            manifest.require_open(self.session_id, self._incarnation)
            if is_fenced:
                manifest.pass_fence(self.session_id, self._fence)
            self._clear(manifest, at)
            manifest.forget_the_dead(at)
            forgotten = list(self._forgotten)
            for claim in forgotten:
                manifest.claims.pop(claim, None)
            return judge(manifest, at), forgotten

        result, gone = self._swapped.change(judged)
        self._forgotten.difference_update(gone)
        return result

    def _clear(self, manifest: Manifest, now: float) -> None:
        """Remove contents whose time is over. First here, then in the manifest: a crash leaves a name too many."""
        due = manifest.due(now)[:MOST_KEYS]
        if due:
            with suppress(WorkspaceUnavailableError):
                self.bucket.delete([self.key_of(content) for content in due])
                for content in due:
                    del manifest.discards[content]

    def _read(self, text: bytes | None) -> Manifest:
        if text is not None:
            return Manifest.read(self.session_id, text)
        if self._incarnation is not None:
            raise LeaseLostError(self.session_id, "it was removed; its session has ended")
        return Manifest()
