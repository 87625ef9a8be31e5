"""Remove what sessions leave in the bucket: never what is in use, never half, and heal what a crash left."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field

from sessionguard.errors import LeaseLostError, SessionGuardError, WorkspaceError
from sessionguard.workspaces.contract import Removal
from sessionguard.workspaces.quota import Quota
from sessionguard.workspaces.s3.bucket import MOST_KEYS, Bucket, Listed, Page
from sessionguard.workspaces.s3.layout import APART, MANIFEST, Layout, claim_of, is_content
from sessionguard.workspaces.s3.ledger import Ledger
from sessionguard.workspaces.s3.manifest import KEEP_SECONDS, OPEN, QUARANTINED, REMOVED, Manifest
from sessionguard.workspaces.s3.owners import OwnerShares
from sessionguard.workspaces.s3.swapping import Swapped

_log = logging.getLogger("sessionguard.workspaces")

_QUARANTINE: Final = timedelta(days=30)
_KEPT: Final = timedelta(seconds=KEEP_SECONDS)
_NOTHING: Final = Removal(files=0, bytes=0, deferred=False)
# A session has its manifest and its files; one listing shows a thousand keys.
_KEYS_A_SESSION: Final = 10


class _AbsentError(Exception):
    """There is no manifest."""


@define
class _Seen:
    """What a listing showed of one session."""

    manifest: Listed | None = None
    contents: list[Listed] = field(factory=list)
    has_apart: bool = False
    """Whether something of it is in quarantine."""

    def old(self, at: datetime) -> list[Listed]:
        """Give the contents that no reader may have any more, unless they are named."""
        return [found for found in self.contents if at - found.changed_at > _KEPT]

    def tells_of_work(self, at: datetime) -> bool:
        """Tell whether there may be something to tidy up, so that its manifest is worth a look."""
        is_still = self.manifest is not None and at - self.manifest.changed_at > _KEPT
        return is_still or self.has_apart or bool(self.old(at))


@define
class _Setbacks:
    """What went wrong with single sessions, none of which may stop the search for the garbage of all others."""

    _patience_seconds: float = field(alias="patience_seconds")

    @contextmanager
    def passed_by(self) -> Iterator[None]:
        """Have what goes wrong in the block told and left to a later pass.

        Raises:
            SessionGuardError: what went wrong so far has cost all the patience: a place that is out of reach must not
                be waited for once more for each session.
        """
        began = time.monotonic()
        try:
            yield
        except SessionGuardError as error:
            self._patience_seconds -= time.monotonic() - began
            if self._patience_seconds <= 0:
                raise
            _log.warning("a search for garbage went on without what failed: %s", error)


class Cleanup:
    """Removal, its leftovers and the search for garbage, in one deployment."""

    def __init__(self, bucket: Bucket, layout: Layout, clock: Callable[[], float]) -> None:
        self._bucket = bucket
        self._layout = layout
        self._clock = clock
        # A random start: processes that live for one short scan each must not all scan the same part.
        self._after = layout.before(secrets.token_hex(2))
        self._after_upload: tuple[str, str] | None = None

    # Removal

    def remove(self, session_id: str) -> Removal:
        """Remove all of a session: first its manifest shows nothing any more, then contents go, the manifest last."""
        if not self._bucket.page(self._layout.session(session_id), None, 1).objects:
            # Most sessions of many applications never have a file, and all of them are removed when they end.
            return _NOTHING
        buried = Manifest()

        def bury(manifest: Manifest) -> Removal | None:
            nonlocal buried
            buried = manifest
            return self._buried(manifest)

        try:
            counted = self._swapped(session_id, must_be_whole=False).change(bury)
        except _AbsentError:
            # No manifest, so nothing of what is here can be seen.
            counted = _NOTHING
        if counted is None:
            return _NOTHING
        # Others may end the quarantine of what is apart; nothing else changes what was buried.
        self._clear(session_id, None if buried.apart else buried)
        return counted

    def quarantine(self, session_id: str) -> bool:
        """Let nobody lease a session's workspace any more, and leave its files; see `Workspaces.quarantine`."""

        def put_apart(manifest: Manifest) -> bool:
            now = self._clock()
            manifest.forget_the_dead(now)
            if manifest.state != OPEN or manifest.claims or not manifest.files:
                return False
            manifest.put_apart(now)
            return True

        swapped = self._swapped(session_id)
        try:
            is_apart, left = swapped.change(put_apart), swapped.look()
        except _AbsentError:
            self._clear(session_id)
            return False
        if is_apart:
            # Else a search for garbage, which reads no manifest that was just changed, would name it.
            self._bucket.put(self._layout.session(session_id) + APART, b"")
            self._give_back(session_id, left)
        elif left.state == REMOVED or (left.state == OPEN and not left.files and not left.claims):
            # Removal was asked for; or a lease made it for a session that was gone, and nobody will ever ask again.
            self.remove(session_id)
        return is_apart

    def _buried(self, manifest: Manifest) -> Removal | None:
        if manifest.state == QUARANTINED:
            return None
        if manifest.state == REMOVED:
            # By someone who counted it, and did not come to the end.
            return _NOTHING
        held = manifest.usage()
        manifest.enter(REMOVED)
        return Removal(files=held.files, bytes=held.bytes, deferred=False)

    def _clear(self, session_id: str, manifest: Manifest | None = None) -> None:
        """Remove every object of a session but what is in quarantine, its manifest last; looked for if it is not given.

        While that is there, a crash is found and healed.
        """
        prefix = self._layout.session(session_id)
        if manifest is None:
            try:
                manifest = self._swapped(session_id, must_be_whole=False).look()
            except _AbsentError:
                manifest = Manifest()
        kept = manifest.kept()
        staying = {prefix + name for name in (MANIFEST, *kept, *([APART] if kept else []))}
        more = True
        while more:
            uploads, _, more = self._bucket.uploads(prefix, None, MOST_KEYS)
            for upload in uploads:
                self._bucket.abort_parts(upload.key, upload.upload_id)
            # A vendor that lists what was just given up must not keep us here.
            more = more and bool(uploads)
        after: str | None = None
        while True:
            page = self._bucket.page(prefix, after)
            self._bucket.delete([found.key for found in page.objects if found.key not in staying])
            after = page.after
            if after is None:
                break
        # While the manifest still says whose it was.
        self._give_back(session_id, manifest)
        if manifest.apart:
            with suppress(_AbsentError):
                self._swapped(session_id).change(self._emptied)
        else:
            self._bucket.delete([prefix + MANIFEST])

    def _emptied(self, manifest: Manifest) -> None:
        if manifest.state == REMOVED:
            manifest.files, manifest.discards = {}, {}
            manifest.enter(QUARANTINED)

    def _give_back(self, session_id: str, manifest: Manifest) -> None:
        if manifest.owner is not None:
            OwnerShares(self._bucket, self._layout, manifest.owner, self._clock).recount(session_id)

    # Garbage

    def scan(self, limit: int) -> list[str]:
        """Give up to `limit` sessions that have objects, going on where the last call stopped, and tidy up in them."""
        seen, at = self._look(limit)
        return [] if at is None else self._asked(seen, at, self._tidied)

    def leftovers(self, limit: int) -> list[str]:
        """Give what `scan` would give, and change nothing."""
        # A copy, because looking moves on.
        seen, at = copy(self)._look(limit)
        return [] if at is None else self._asked(seen, at, self._is_in_reach)

    def _look(self, limit: int) -> tuple[dict[str, _Seen], datetime | None]:
        """Give up to `limit` sessions that have objects, and the time of the server, by a bounded number of keys."""
        seen: dict[str, _Seen] = {}
        keys = max(100, limit * _KEYS_A_SESSION)
        start, has_wrapped = self._after, False
        at = None
        while keys > 0 and len(seen) < limit:
            page = self._bucket.page(self._layout.folder, self._after, min(keys, MOST_KEYS))
            at = page.at
            keys -= max(1, len(page.objects))
            is_full = self._note(page, seen, limit)
            if is_full:
                break
            if page.after is not None:
                self._after = page.after
            elif has_wrapped:
                break
            else:
                self._after, has_wrapped = self._layout.before(""), True
            if has_wrapped and self._after >= start:
                break
        return seen, at

    def abort_uploads(self, limit: int) -> None:
        """Give up to `limit` uploads up that are older than the safety age and that no living writer claims.

        What fails is told and left to a later pass; what has no key of ours is left alone.
        """
        try:
            self._abort_uploads(limit, _Setbacks(self._bucket.settings.patience_seconds))
        except SessionGuardError as error:
            # A vendor or a right that shows no uploads does not end the search for other garbage either.
            _log.warning("unfinished uploads were not looked for: %s", error)

    def _abort_uploads(self, limit: int, setbacks: _Setbacks) -> None:
        uploads, at, has_more = self._bucket.uploads(self._layout.folder, self._after_upload, limit)
        self._after_upload = (uploads[-1].key, uploads[-1].upload_id) if has_more and uploads else None
        for upload in uploads:
            place = self._layout.split(upload.key)
            is_old = at - upload.begun_at > self._bucket.settings.safety_age
            if place is not None and is_content(place[1]) and is_old:
                with setbacks.passed_by():
                    if not self._is_claimed(*place, at):
                        self._bucket.abort_parts(upload.key, upload.upload_id)

    def _note(self, page: Page, seen: dict[str, _Seen], limit: int) -> bool:
        """Enter what a page shows; True if it shows more sessions than the limit."""
        for found in page.objects:
            place = self._layout.split(found.key)
            if place is not None:
                session_id, name = place
                if session_id not in seen and len(seen) == limit:
                    return True
                of_session = seen.setdefault(session_id, _Seen())
                if name == MANIFEST:
                    of_session.manifest = found
                elif name == APART:
                    of_session.has_apart = True
                elif is_content(name):
                    of_session.contents.append(found)
            self._after = found.key
        return False

    def _asked(self, seen: dict[str, _Seen], at: datetime, judge: Callable[[str, _Seen, datetime], bool]) -> list[str]:
        """Give those about which the store is to be asked, by `judge`, or because that failed."""
        setbacks = _Setbacks(self._bucket.settings.patience_seconds)
        asked = dict.fromkeys(seen, True)
        for session_id, found in seen.items():
            with setbacks.passed_by():
                asked[session_id] = judge(session_id, found, at)
        return [session_id for session_id, is_asked in asked.items() if is_asked]

    def _is_in_reach(self, session_id: str, seen: _Seen, at: datetime) -> bool:
        """Tell what `_tidied` would, and leave everything as it is."""
        try:
            return not seen.tells_of_work(at) or self._swapped(session_id).look().state == OPEN
        except _AbsentError:
            return True

    def _tidied(self, session_id: str, seen: _Seen, at: datetime) -> bool:
        """Remove what is due in one session; False if all of it is out of reach, so that nobody need be asked."""
        old = seen.old(at)
        if not seen.tells_of_work(at):
            return True
        try:
            manifest = self._swapped(session_id).look()
        except _AbsentError:
            return True
        if manifest.state == REMOVED:
            self._clear(session_id)
            return False
        if self._released(session_id, manifest, at):
            return False
        safe = at - self._bucket.settings.safety_age
        named = manifest.named() | manifest.discards.keys()
        contents = [found.key.rpartition("/")[2] for found in old if found.changed_at < safe]
        unnamed = [content for content in contents if content not in named]
        if unnamed or manifest.due(at.timestamp()):
            ledger = Ledger(self._bucket, self._layout, session_id, Quota(), None, at.timestamp)
            with suppress(LeaseLostError):
                ledger.condemn(unnamed, at.timestamp())
        return manifest.state != QUARANTINED

    def _released(self, session_id: str, manifest: Manifest, at: datetime) -> bool:
        """End quarantine that was long enough; True if nothing of the session is left."""
        before = (at - _QUARANTINE).timestamp()
        if all(apart.since >= before for apart in manifest.apart):
            return False

        def release(manifest: Manifest) -> bool:
            manifest.release(before)
            if manifest.state == QUARANTINED and not manifest.apart:
                manifest.enter(REMOVED)
            return manifest.state == REMOVED

        is_over = self._swapped(session_id).change(release)
        if is_over:
            self._clear(session_id)
        return is_over

    def _is_claimed(self, session_id: str, content: str, at: datetime) -> bool:
        try:
            claim = self._swapped(session_id).look().claims.get(claim_of(content))
        except _AbsentError:
            return False
        return claim is not None and claim.until > at.timestamp()

    def _swapped(self, session_id: str, *, must_be_whole: bool = True) -> Swapped[Manifest]:
        def read(text: bytes | None) -> Manifest:
            if text is None:
                raise _AbsentError
            try:
                return Manifest.read(session_id, text)
            except WorkspaceError:
                if must_be_whole:
                    raise
                # Nobody can lease it either; its session has ended, and the tombstone takes its place.
                return Manifest()

        return Swapped(
            self._bucket, self._layout.manifest(session_id), read, lambda manifest: manifest.text(session_id)
        )
