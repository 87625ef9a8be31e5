"""What a pass of a clean-up tells, and the counting that leads to it."""

from attrs import evolve, frozen

from sessionguard.core.session import Removed
from sessionguard.errors import WorkspaceUnavailableError


@frozen
class SweepReport:
    """What a pass of `sweep` did, or with `dry_run` would do."""

    ended: int = 0
    skipped_in_use: int = 0
    """Workspaces of ended sessions that wait for their last lease or, if the guard was closed, for the next pass."""
    failed: int = 0
    """Workspaces of ended sessions that could not be removed; the events `CleanupFailed` say why, and the next pass
    tries again. Once their place cannot be reached at all, a pass asks it no more."""
    workspaces_removed: int = 0
    bytes_freed: int = 0
    has_more: bool = False
    """More had expired than the limit allowed to end."""
    braked: bool = False
    """More was due than the brake of the guard lets pass, so nothing was done."""
    yielded: bool = False
    """Another runner had the turn: no session was ended, or no more after it took over."""


@frozen
class PurgeReport(SweepReport):
    """What a pass of `purge` did. It ends nothing, so of a sweep's counts only `has_more` can differ from zero."""

    purged: int = 0
    """Ended sessions that are forgotten now."""


class Tally:
    """What became of the workspaces that one call, or one pass, had to remove."""

    def __init__(self) -> None:
        self.failure: str | None = None
        """Why the first of those failed that could not be removed."""
        self.is_place_lost = False
        """Whether their place cannot be reached: who has waited for that once does not wait once for each session."""
        # By session: one that was just ended may be met again among the garbage of the same pass.
        self._in_use: set[str] = set()
        self._failed: set[str] = set()
        self._removed = 0
        self._bytes = 0

    def count(self, session_id: str, removed: Removed) -> None:
        """Add what became of the files of one session."""
        self._in_use.discard(session_id)
        self._failed.discard(session_id)
        if removed.failed:
            self._failed.add(session_id)
            return
        if removed.deferred:
            self._in_use.add(session_id)
            return
        if removed.files or removed.bytes:
            self._removed += 1
            self._bytes += removed.bytes

    def note(self, error: Exception) -> str:
        """Remember why a removal failed, and give that as text."""
        text = f"{type(error).__name__}: {error}"
        self.failure = self.failure or text
        self.is_place_lost = isinstance(error, WorkspaceUnavailableError)
        return text

    def into(self, report: SweepReport) -> SweepReport:
        """Give `report` with these counts."""
        return evolve(
            report,
            skipped_in_use=len(self._in_use),
            failed=len(self._failed),
            workspaces_removed=self._removed,
            bytes_freed=self._bytes,
        )
