"""All workspaces of one deployment on the local disk: lease, remove, find garbage."""

import os
from copy import copy
from datetime import datetime, timedelta

from sessionguard.core.commands import Fence
from sessionguard.core.findings import Finding
from sessionguard.core.leases import is_of_hold
from sessionguard.errors import ConfigurationError, InvalidArgumentError, LeaseLostError, MisuseError
from sessionguard.workspaces.contract import Removal
from sessionguard.workspaces.identities import checked_owner_key, checked_session_id
from sessionguard.workspaces.local import examination, inspection
from sessionguard.workspaces.local.cleanup import Cleanup
from sessionguard.workspaces.local.deployment import Deployment
from sessionguard.workspaces.local.leases import take_shared
from sessionguard.workspaces.local.owners import Owners
from sessionguard.workspaces.local.workspace import LocalWorkspace
from sessionguard.workspaces.quota import Quota


class LocalWorkspaces:
    """The private directories of all sessions of one deployment. Threads and processes may share the root.

    Nothing is held open here, so it needs no closing and survives a fork.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        # Absolute now: a later change of the working directory must not open other workspaces.
        self._root = os.path.abspath(os.fspath(root))
        # One value, so that a thread that switches deployments leaves nobody with half of each.
        self._place: tuple[Deployment, Owners, Cleanup] | None = None

    @property
    def root(self) -> str:
        """The directory that holds the workspaces of all deployments sharing it."""
        return self._root

    def open(self, deployment_id: str) -> None:
        """Make the root if absent, mode 0700, and work below it in a part of this deployment's own.

        Opened again for another deployment, as after a fork or when the store was lost, it leaves all of the former.

        Raises:
            ConfigurationError: the root is a link, another user's, writable by others, or cannot be made or written.
        """
        deployment = Deployment(self._root, deployment_id)
        if self._place is not None and self._place[0].folder == deployment.folder:
            return
        if os.open not in os.supports_dir_fd or not hasattr(os, "O_PATH"):
            remedy = "this system cannot open files below a directory safely; run on Linux"
            raise ConfigurationError("workspaces", self._root, remedy)
        deployment.make()
        owners = Owners(deployment)
        self._place = deployment, owners, Cleanup(deployment, owners)

    def examine(self) -> list[Finding]:
        """Say what is wrong with the root, if anything, and what to do about it."""
        return examination.examine(self._root)

    def is_home_of(self, deployment_id: str) -> bool:
        """Tell whether workspaces of this deployment were ever opened below this root."""
        with Deployment(self._root, deployment_id).opened() as descriptor:
            return descriptor is not None

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> LocalWorkspace:
        """Give the workspace of a session, made on first use; it is not removed before it is closed.

        Whether the session is still active is for the caller to check, after this call: a directory
        that was already removed is made anew, empty. With a `fence`, all who come with a lower one are refused from
        now on.

        Raises:
            LeaseLostError: it is being removed, or will be when its other leases end, and no hold leases it.
            LockLostError: someone with a higher fence has been here.
        """
        checked_session_id(session_id)
        if quota.owner is not None:
            checked_owner_key(quota.owner.key)
        deployment, owners, cleanup = self._opened()
        lease = take_shared(deployment, session_id)
        workspace = LocalWorkspace(lease, quota, owners, cleanup.remove_if_pending, fence)
        # After taking the lease: the mark of a removal that came first is seen here, and one that
        # comes later sees the lease. Closing also does that removal, if this lease was what it met.
        try:
            if cleanup.is_pending(session_id) and not is_of_hold(fence):
                raise LeaseLostError(session_id, "it is to be removed; its session has ended")
        except BaseException:
            workspace.close()
            raise
        return workspace

    def remove(self, session_id: str) -> Removal:
        """Remove the workspace of a session and all in it, at once or, while in use, when its last lease ends.

        Nothing of other sessions is touched. Without a directory: no files, no bytes, not deferred.
        """
        checked_session_id(session_id)
        return self._opened()[2].remove(session_id)

    def quarantine(self, session_id: str) -> bool:
        """Put the workspace of a session that the store has lost out of everyone's reach, kept for a person to look at.

        False if it is in use, which leaves it where it is, or if there is nothing to keep: no file, or the session was
        ended and not lost. `candidates` removes what was kept after thirty days.
        """
        checked_session_id(session_id)
        return self._opened()[2].quarantine(session_id)

    def is_young(self, session_id: str, age: timedelta, at: datetime | None) -> bool:
        """Tell whether the directory of a session changed within `age` before `at`; None: before now.

        By the times of all files, whoever wrote them, and of the directories that a workspace changes; in the future is
        young. False if there is none, or if its removal was asked for. Now is by the clock of the machine, but not by
        what it has jumped ahead since it was first asked for in this run of the machine.
        """
        return inspection.is_young(self._opened()[0], checked_session_id(session_id), age, at)

    def measure(self, session_id: str) -> Removal:
        """Tell what `remove` would do now, and remove nothing."""
        return inspection.measure(self._opened()[0], checked_session_id(session_id))

    def place_id(self) -> str | None:
        """Name the directory that is open, alike in every process of this machine that has it; None: it cannot tell."""
        deployment = self._opened()[0]
        with deployment.opened() as folder:
            return None if folder is None else inspection.place_id(folder)

    def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give up to `limit` sessions whose directories may be garbage, and finish interrupted removals.

        Those waiting for removal come first, then existing directories, each call going on where the last
        stopped. The caller asks the store which are still active and removes the rest.

        Raises:
            MisuseError: a `deployment_id` was given, and it is not the one that these workspaces are open for.
        """
        cleanup = self._opened_for(deployment_id, limit)
        cleanup.empty_trash(limit)
        cleanup.empty_quarantine(limit)
        cleanup.tidy_accounts(limit)
        return cleanup.next_to_judge(limit)

    def leftovers(self, limit: int, deployment_id: str | None = None) -> list[str]:
        """Give the sessions that `candidates` would give now, and change nothing: the next call begins there as well.

        Raises:
            MisuseError: as `candidates`.
        """
        # A copy, because looking moves on.
        return copy(self._opened_for(deployment_id, limit)).next_to_judge(limit)

    def empty_trash(self, limit: int = 1000) -> Removal:
        """Finish up to `limit` removals that a crash interrupted, and give what that freed."""
        _checked_limit(limit)
        return self._opened()[2].empty_trash(limit)

    def _opened_for(self, deployment_id: str | None, limit: int) -> Cleanup:
        _checked_limit(limit)
        deployment, _, cleanup = self._opened()
        if deployment_id is not None and deployment.folder != Deployment(self._root, deployment_id).folder:
            raise MisuseError("these workspaces are open for another deployment; open them for this one")
        return cleanup

    def _opened(self) -> tuple[Deployment, Owners, Cleanup]:
        if self._place is None:
            raise MisuseError("these workspaces are not open; call open(deployment_id) first")
        return self._place


def _checked_limit(limit: int) -> None:
    if limit < 1:
        raise InvalidArgumentError("limit", limit, "give at least 1")
