"""The report shows what was found: tables, counts, verdict; in colour only where asked for."""

import re

from attrs import evolve

from sessionguard.cli.demo.findings import Finding, Phase, Run, judge
from sessionguard.cli.demo.performance import Performance
from sessionguard.cli.demo.report import MAX_REASONS, Style, as_json, as_text

ESCAPE = re.compile(r"\x1b\[\d+m")
OWN, FOREIGN = "MARK-kebbi-000000000000000c", "MARK-benue-000000000000000b"
CLEAN = Finding(
    user="kebbi",
    marker=OWN,
    session_id="ffffffff00000001",
    upload_worker="A/11",
    workers=("B/22", "A/11"),
    told="All data is from Kebbi",
    received=frozenset({OWN}),
    is_intact=True,
    damage=None,
    was_lent=False,
    problem=None,
)
BLED = evolve(CLEAN, received=frozenset({OWN, FOREIGN}), told="All data is from Benue", is_intact=False)


def _performance(*guarded: Finding) -> Performance:
    broken_run = Run("broken", (Phase("one user", ((BLED,),)),))
    guarded_run = Run("guarded", (Phase("one user", (guarded,)),))
    return Performance(broken_run, guarded_run, judge(broken_run, guarded_run), None, 1.25, None)


def test_table_tells_who_saw_whose_data_through_which_id_and_worker() -> None:
    """A row names the user, the end of the id, the worker, what was told, the files, and whose data came."""
    text = as_text(_performance(CLEAN), Style(is_coloured=False))
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.startswith("    kebbi")]
    assert rows == [
        ["kebbi", "00000001", "A/11", "All data is from Benue", "overwritten", "found", "benue"],
        ["kebbi", "00000001", "A/11", "All data is from Kebbi", "intact", "found", "none"],
    ]
    assert text.endswith("Verdict: PASSED in 1.2 s")


def test_colour_changes_nothing_but_colour() -> None:
    """Without its escape sequences the coloured report is the plain one."""
    performance = _performance(CLEAN, BLED)
    coloured, plain = (as_text(performance, Style(is_coloured)) for is_coloured in (True, False))
    assert ESCAPE.search(coloured)
    assert not ESCAPE.search(plain)
    assert ESCAPE.sub("", coloured) == plain


def test_failed_workflow_is_shown_with_its_reason() -> None:
    """A workflow that could not be finished stands in the table, fails the verdict and points to the logs."""
    failed = evolve(CLEAN, received=frozenset(), told="", problem="/upload was answered 500")
    text = as_text(_performance(failed), Style(is_coloured=False))
    assert "MISSING     FAILED: /upload was answered 500" in text
    assert "run it again with --keep" in text
    assert "Verdict: FAILED" in text


def test_reasons_are_bounded_in_text_and_complete_in_json() -> None:
    """A long list of reasons is cut in the text, which says where all of them are."""
    findings = [evolve(BLED, user=f"user {number}", session_id=f"{number:016}") for number in range(MAX_REASONS + 3)]
    performance = _performance(*findings)
    reasons = performance.verdict.reasons
    assert len(reasons) > MAX_REASONS
    text = as_text(performance, Style(is_coloured=False))
    assert f"and {len(reasons) - MAX_REASONS} more (--json shows them all)" in text
    assert as_json(performance)["reasons"] == list(reasons)
