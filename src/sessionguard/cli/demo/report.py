"""Shows a performance: as text for a terminal, or as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from sessionguard.cli.demo.findings import Finding, Phase, Run
from sessionguard.cli.demo.performance import Performance

HEADINGS = ("user", "session", "worker", "was told", "files", "own marker", "foreign markers")
SHOWN_ID_CHARACTERS = 8
MAX_REASONS = 8


@frozen
class Style:
    """Colours, or none."""

    is_coloured: bool

    def good(self, text: str) -> str:
        """Give `text` in green."""
        return self._wrapped("32", text)

    def bad(self, text: str) -> str:
        """Give `text` in red."""
        return self._wrapped("31", text)

    def strong(self, text: str) -> str:
        """Give `text` in bold."""
        return self._wrapped("1", text)

    def _wrapped(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.is_coloured else text


def as_text(performance: Performance, style: Style) -> str:
    """Give the tables, the counts and the verdict."""
    lines: list[str] = []
    for run, title in (
        (performance.broken, "BROKEN APP: takes the session id that the client sends"),
        (performance.guarded, "GUARDED APP: sessionguard on SQLite, a fresh session per upload"),
    ):
        lines += ["", style.strong(title), *_run_lines(run, style)]
    lines += ["", *_verdict_lines(performance, style)]
    return "\n".join(lines)


def as_json(performance: Performance) -> dict[str, Any]:
    """Give everything that was found as plain values."""
    verdict = performance.verdict
    return {
        "passed": verdict.is_passed,
        "bleed_seen_in_broken_app": verdict.bleed_seen,
        "guarded_app_is_clean": verdict.guard_holds,
        "reasons": list(verdict.reasons),
        "planted": performance.plant,
        "seconds": round(performance.seconds, 2),
        "folder": str(performance.folder) if performance.folder else None,
        "runs": {run.app: [_phase_json(phase) for phase in run.phases] for run in _runs(performance)},
    }


def _runs(performance: Performance) -> tuple[Run, Run]:
    return performance.broken, performance.guarded


def _run_lines(run: Run, style: Style) -> Iterator[str]:
    for phase in run.phases:
        yield ""
        yield f"  {phase.title}{_which_round(phase)}"
        yield from _table(phase.worst_round, style)
        yield f"  {_unique_ids(phase, style)}"
        yield from (f"  {line}" for line in _lent_ids(phase, style))


def _which_round(phase: Phase) -> str:
    count = len(phase.rounds)
    return "" if count == 1 else f" (round {phase.rounds.index(phase.worst_round) + 1} of {count})"


def _table(findings: Sequence[Finding], style: Style) -> Iterator[str]:
    rows = [HEADINGS, *map(_cells, findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for number, row in enumerate(rows):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if number:
            finding = findings[number - 1]
            padded[-2] = (style.good if finding.has_own else style.bad)(padded[-2])
            padded[-1] = (style.bad if finding.foreign or finding.problem else style.good)(padded[-1].rstrip())
        yield f"    {'  '.join(padded).rstrip()}"


def _cells(finding: Finding) -> tuple[str, ...]:
    return (
        finding.user,
        (finding.session_id or "-")[-SHOWN_ID_CHARACTERS:],
        finding.upload_worker or "-",
        finding.told or "-",
        finding.state_of_files,
        "found" if finding.has_own else "MISSING",
        f"FAILED: {finding.problem}" if finding.problem else " ".join(finding.foreign) or "none",
    )


def _unique_ids(phase: Phase, style: Style) -> str:
    uploads, ids = phase.upload_count, phase.id_count
    rate = 100 * ids / uploads if uploads else 0.0
    text = f"{uploads} uploads, {ids} different session ids: {rate:.0f} % unique"
    if ids == uploads > 0:
        return style.good(text)
    shared = (f"{_shortened(session_id)} went to {', '.join(users)}" for session_id, users in phase.shared_ids.items())
    return style.bad("; ".join([text, *shared]))


def _lent_ids(phase: Phase, style: Style) -> Iterator[str]:
    tried = [finding for finding in phase.findings if finding.was_lent is not None]
    lent_count = sum(bool(finding.was_lent) for finding in tried)
    if tried:
        text = f"{len(tried)} requests with another user's id: {lent_count} answered"
        yield (style.bad if lent_count else style.good)(text)


def _verdict_lines(performance: Performance, style: Style) -> Iterator[str]:
    verdict = performance.verdict
    seen = style.good("seen") if verdict.bleed_seen else style.bad("NOT SEEN")
    absent = style.good("absent") if verdict.guard_holds else style.bad("NOT ABSENT")
    yield f"Bleed in the broken app: {seen}. Bleed in the guarded app: {absent}."
    for reason in verdict.reasons[:MAX_REASONS]:
        yield style.bad(f"  {reason}")
    if len(verdict.reasons) > MAX_REASONS:
        yield f"  and {len(verdict.reasons) - MAX_REASONS} more (--json shows them all)"
    if any(finding.problem for run in _runs(performance) for phase in run.phases for finding in phase.findings):
        yield "  The servers' logs say more: run it again with --keep"
    outcome = style.good("PASSED") if verdict.is_passed else style.bad("FAILED")
    yield f"{style.strong('Verdict')}: {outcome} in {performance.seconds:.1f} s"
    if performance.plant:
        yield f"Played with a planted mistake: {performance.plant}"
    if performance.folder:
        yield f"Kept: {performance.folder}"


def _phase_json(phase: Phase) -> dict[str, Any]:
    return {
        "title": phase.title,
        "upload_count": phase.upload_count,
        "id_count": phase.id_count,
        "shared_ids": {session_id: list(users) for session_id, users in phase.shared_ids.items()},
        "rounds": [[_finding_json(finding) for finding in findings] for findings in phase.rounds],
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "user": finding.user,
        "session_id": finding.session_id,
        "upload_worker": finding.upload_worker,
        "workers": list(finding.workers),
        "told": finding.told,
        "own_marker_found": finding.has_own,
        "foreign_markers_found": list(finding.foreign),
        "files_intact": finding.is_intact,
        "shapefile_damage": finding.damage,
        "answered_with_foreign_id": finding.was_lent,
        "problem": finding.problem,
    }


def _shortened(session_id: str) -> str:
    return session_id[-SHOWN_ID_CHARACTERS:]
