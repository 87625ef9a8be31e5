"""What was found, as values, and the verdict over it. Decides from what clients received, and from nothing else."""

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import frozen

from sessionguard.cli.demo.markers import states_of


@frozen
class Finding:
    """What one user met in one workflow."""

    user: str
    marker: str
    session_id: str | None
    upload_worker: str | None
    workers: tuple[str, ...]
    told: str
    received: frozenset[str]
    """Every marker in anything that the app sent to this user."""
    is_intact: bool
    """Whether the user's own files came back as they were sent."""
    damage: str | None
    """What a GIS reader says about the shapefile that came back, if it cannot be used."""
    was_lent: bool | None
    """Whether the app answered when asked with another user's id; None if that was not tried."""
    problem: str | None
    """Why the workflow could not be finished."""

    @property
    def has_own(self) -> bool:
        """Whether the user's own marker came back."""
        return self.marker in self.received

    @property
    def state_of_files(self) -> str:
        """What became of the user's files, in one word."""
        if self.problem is not None:
            return "-"
        if self.damage is not None:
            return "unreadable"
        return "intact" if self.is_intact else "overwritten"

    @property
    def foreign(self) -> tuple[str, ...]:
        """Whose data came to this user, by the states that the foreign markers name."""
        return states_of(self.received - {self.marker})


@frozen
class Phase:
    """One scene of a run, played several times."""

    title: str
    rounds: tuple[tuple[Finding, ...], ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding of every round."""
        return tuple(finding for findings in self.rounds for finding in findings)

    @property
    def worst_round(self) -> tuple[Finding, ...]:
        """The round in which most went wrong; the first of equals."""
        return max(self.rounds, key=lambda findings: sum(len(f.foreign) + bool(f.problem) for f in findings))

    @property
    def has_bleed(self) -> bool:
        """Whether any user was sent somebody else's data."""
        return any(finding.foreign for finding in self.findings)

    @property
    def upload_count(self) -> int:
        """How many uploads were answered with an id."""
        return sum(self._uploads_by_id().values())

    @property
    def id_count(self) -> int:
        """How many different ids those answers named; as many as uploads when every session is fresh."""
        return len(self._uploads_by_id())

    @property
    def shared_ids(self) -> dict[str, tuple[str, ...]]:
        """The ids named to more than one upload, with the users who got them."""
        return {
            session_id: tuple(dict.fromkeys(f.user for f in self.findings if f.session_id == session_id))
            for session_id, count in self._uploads_by_id().items()
            if count > 1
        }

    def _uploads_by_id(self) -> Counter[str]:
        return Counter(finding.session_id for finding in self.findings if finding.session_id is not None)


@frozen
class Run:
    """One app under both scenes."""

    app: str
    phases: tuple[Phase, ...]


@frozen
class Verdict:
    """Whether the demonstration showed what it must: the bleed in the broken app, and none in the guarded one."""

    bleed_seen: bool
    guard_holds: bool
    reasons: tuple[str, ...]
    """Why it failed, a sentence each; empty when it passed."""

    @property
    def is_passed(self) -> bool:
        """Whether both halves hold."""
        return self.bleed_seen and self.guard_holds


def judge(broken: Run, guarded: Run) -> Verdict:
    """Give the verdict over both runs."""
    unseen = [f"{phase.title}: the broken app showed no bleed" for phase in broken.phases if not phase.has_bleed]
    if not broken.phases:
        unseen.append("the broken app was not tried")
    leaks = [reason for phase in guarded.phases for reason in _objections(phase)]
    if not guarded.phases:
        leaks.append("the guarded app was not tried")
    return Verdict(not unseen, not leaks, tuple(dict.fromkeys([*unseen, *leaks])))


def _objections(phase: Phase) -> Iterator[str]:
    for session_id, users in phase.shared_ids.items():
        yield f"{phase.title}: the guarded app named one id, {session_id[-8:]}, to {_listed(users)}"
    for finding in phase.findings:
        for objection in _objections_to(finding):
            yield f"{phase.title}: in the guarded app, {finding.user} {objection}"


def _objections_to(finding: Finding) -> Iterator[str]:
    if finding.problem is not None:
        yield f"could not finish ({finding.problem})"
        return
    if finding.foreign:
        yield f"was sent data of {_listed(finding.foreign)}"
    if not finding.has_own:
        yield "was not sent the own data"
    if not finding.is_intact or finding.damage is not None:
        yield f"did not get the own files back as they were sent{f' ({finding.damage})' if finding.damage else ''}"
    if finding.was_lent:
        yield "was answered with another user's id"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
