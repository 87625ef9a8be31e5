"""The workspaces of all sessions of one deployment, below one prefix of one bucket."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sessionguard.core.commands import Fence
from sessionguard.core.findings import Finding
from sessionguard.errors import InvalidArgumentError, MisuseError
from sessionguard.workspaces.contract import Removal
from sessionguard.workspaces.identities import checked_owner_key, checked_session_id
from sessionguard.workspaces.quota import Quota
from sessionguard.workspaces.s3 import inspection
from sessionguard.workspaces.s3.addresses import place_id
from sessionguard.workspaces.s3.bucket import Bucket
from sessionguard.workspaces.s3.cleanup import Cleanup
from sessionguard.workspaces.s3.examination import examine, require_conditions
from sessionguard.workspaces.s3.layout import Layout
from sessionguard.workspaces.s3.ledger import Ledger
from sessionguard.workspaces.s3.settings import Settings
from sessionguard.workspaces.s3.workspace import S3Workspace


class S3Workspaces:
    """Files of sessions in object storage; any number of machines share it.

    Nothing is asked of the bucket before `open`. It holds no connection that a forked child could use by mistake, and
    needs no closing. `clock` gives seconds since 1970; without one, ages are judged by the clock of the server.
    """

    leases_in_store = True
    """Who is using a workspace is not to be seen in the bucket: leases live in the store."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] | None = None) -> None:
        self.settings = settings
        self._bucket = Bucket(settings)
        self._clock = clock or self._bucket.clock.now
        # One value, so that a thread that switches deployments leaves nobody with half of each.
        self._place: tuple[Layout, Cleanup] | None = None

    def open(self, deployment_id: str) -> None:
        """Work below the prefix in a part of this deployment's own, if the bucket is one to be relied on.

        Raises:
            ConfigurationError: access is refused, or the place does not honour conditional requests.
            WorkspaceUnavailableError: it cannot be reached.
        """
        layout = Layout.of(self.settings.prefix, deployment_id)
        if self._place is not None and self._place[0] == layout:
            return
        require_conditions(self._bucket, layout)
        self._place = layout, Cleanup(self._bucket, layout, self._clock)

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> S3Workspace:
        """Give the workspace of a session, its manifest made on first use.

        Whether the session is still active is for the caller to check, after this call: what was already removed is
        made anew, empty. With a `fence`, all who come below its `lowest` are refused from now on. That it is not
        removed before it is closed is the business of a lease in the store.

        Raises:
            LeaseLostError: it is being removed.
            LockLostError: someone with a higher fence has been here.
        """
        checked_session_id(session_id)
        if quota.owner is not None:
            checked_owner_key(quota.owner.key)
        ledger = Ledger(self._bucket, self._opened()[0], session_id, quota, fence, self._clock)
        ledger.enter()
        return S3Workspace(ledger)

    def remove(self, session_id: str) -> Removal:
        """Remove the workspace of a session and all in it, at once; who still writes into it is refused from now on.

        Nothing of other sessions is touched. Without one: no files, no bytes, not deferred.

        Raises:
            WorkspaceUnavailableError: it may not be finished; `candidates` finds it again.
        """
        checked_session_id(session_id)
        return self._opened()[1].remove(session_id)

    def quarantine(self, session_id: str) -> bool:
        """Put the workspace of a session that the store has lost out of everyone's reach, kept for a person to look at.

        False if somebody is writing into it, which leaves it, or if there is nothing to keep: no file, or the session
        was ended and not lost. `candidates` removes what was kept after thirty days.
        """
        checked_session_id(session_id)
        return self._opened()[1].quarantine(session_id)

    def place_id(self) -> str:
        """Name the bucket and prefix, alike on every machine that reaches them by the same address."""
        return place_id(self._bucket.endpoint, self.settings)

    def is_young(self, session_id: str, age: timedelta, at: datetime | None) -> bool:
        """Tell whether files of a session changed within `age` before `at`; None: before now, by the server's clock.

        By the times at which the server stored its objects; in the future is young. False if there are none, if their
        removal was asked for, or if all are in quarantine.
        """
        return inspection.is_young(self._bucket, self._opened()[0], checked_session_id(session_id), age, at)

    def measure(self, session_id: str) -> Removal:
        """Tell what `remove` would do now, and remove nothing."""
        return inspection.measure(self._bucket, self._opened()[0], checked_session_id(session_id))

    def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give up to `limit` sessions whose files may be garbage, and finish what was interrupted.

        Each call goes on where the last stopped, and looks at no more than about ten keys a session. The caller asks
        the store which are still active and removes the rest.

        Raises:
            MisuseError: a `deployment_id` was given, and it is not the one that these workspaces are open for.
        """
        cleanup = self._opened_for(deployment_id, limit)
        found = cleanup.scan(limit)
        cleanup.abort_uploads(limit)
        return found

    def leftovers(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give the sessions that `candidates` would give now, and change nothing: the next call begins there as well.

        Raises:
            MisuseError: as `candidates`.
        """
        return self._opened_for(deployment_id, limit).leftovers(limit)

    def examine(self) -> list[Finding]:
        """Say what is wrong with the bucket, if anything, and what to do about it."""
        return examine(self._bucket)

    def _opened_for(self, deployment_id: str | None, limit: int) -> Cleanup:
        if limit < 1:
            raise InvalidArgumentError("limit", limit, "give at least 1")
        layout, cleanup = self._opened()
        if deployment_id is not None and layout != Layout.of(self.settings.prefix, deployment_id):
            raise MisuseError("these workspaces are open for another deployment; open them for this one")
        return cleanup

    def _opened(self) -> tuple[Layout, Cleanup]:
        if self._place is None:
            raise MisuseError("these workspaces are not open; call open(deployment_id) first")
        return self._place

    def __repr__(self) -> str:
        return f"<S3Workspaces in {self.settings.url}>"
