"""Looking at what a session has in the bucket before anything is removed: how young it is, and how much is in it."""

from datetime import datetime, timedelta

from sessionguard.errors import WorkspaceError
from sessionguard.workspaces.contract import Removal
from sessionguard.workspaces.s3.bucket import Bucket
from sessionguard.workspaces.s3.layout import Layout
from sessionguard.workspaces.s3.manifest import OPEN, Manifest


def is_young(bucket: Bucket, layout: Layout, session_id: str, age: timedelta, at: datetime | None) -> bool:
    """Tell whether an object of the session was stored within `age` before `at`, or before now by the server's clock.

    The clock of this machine is not asked: one that is ahead would take for old what is not.
    """
    manifest = _manifest(bucket, layout, session_id)
    if manifest is not None and manifest.state != OPEN:
        # Its removal was asked for, or there is nothing but what is in quarantine.
        return False
    after: str | None = layout.before(session_id)
    while after is not None:
        page = bucket.page(layout.session(session_id), after)
        oldest = (page.at if at is None else at) - age
        if any(found.changed_at > oldest for found in page.objects):
            return True
        after = page.after
    return False


def measure(bucket: Bucket, layout: Layout, session_id: str) -> Removal:
    """Count the files that a removal would remove."""
    manifest = _manifest(bucket, layout, session_id)
    if manifest is None or manifest.state != OPEN:
        return Removal(files=0, bytes=0, deferred=False)
    held = manifest.usage()
    return Removal(files=held.files, bytes=held.bytes, deferred=False)


def _manifest(bucket: Bucket, layout: Layout, session_id: str) -> Manifest | None:
    """Give the manifest of a session, or None if there is none; an empty one where it is damaged, as for a removal."""
    found = bucket.get(layout.manifest(session_id))
    if found is None:
        return None
    try:
        return Manifest.read(session_id, found.data)
    except WorkspaceError:
        return Manifest()
