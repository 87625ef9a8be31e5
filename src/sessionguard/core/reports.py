"""What a pass of a clean-up tells, and the counting that leads to it."""

from attrs import evolve, frozen

from sessionguard.core.session import Removed


@frozen
class SweepReport:
    """What a pass of `sweep` did, or with `dry_run` would do."""

    ended: int = 0
    skipped_in_use: int = 0
    """Workspaces of ended sessions that wait for their last lease or, if the guard was closed, for the next pass."""
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
    """Counts what became of workspaces."""

    def __init__(self) -> None:
        # By session: one that was just ended may be met again among the garbage of the same pass.
        self._in_use: set[str] = set()
        self._removed = 0
        self._bytes = 0

    def count(self, session_id: str, removed: Removed) -> None:
        """Add what became of the files of one session."""
        if removed.deferred:
            self._in_use.add(session_id)
            return
        self._in_use.discard(session_id)
        if removed.files or removed.bytes:
            self._removed += 1
            self._bytes += removed.bytes

    def into(self, report: SweepReport) -> SweepReport:
        """Give `report` with these counts."""
        return evolve(
            report, skipped_in_use=len(self._in_use), workspaces_removed=self._removed, bytes_freed=self._bytes
        )
