"""The kit catches what it is there to catch, passes what is right, and cannot be thinned out in silence."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve

from sessionguard.errors import IdentityMismatchError
from sessionguard.testing import CI, PER_PROCESS, Capabilities, Profile, verdicts
from sessionguard.testing.contracts.candidate import MakeStore
from sessionguard.testing.contracts.catalogue import CASES, SUBJECTS
from sessionguard.testing.contracts.verdicts import failures
from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.catalogue import FAMILIES, MUTANTS, Mutant
from sessionguard.testing.mutants.shelf import ShelfStore

# Interleavings are chosen, so a few callers and rounds are as sure as many.
SMALL = evolve(CI, rounds=2, callers=4, processes=2, slot_rounds=2, slot_callers=4, slot_processes=2)
WHAT_A_KIT_RAISES = (AssertionError, IdentityMismatchError)

PROMISED = {
    "CheckThenInsert",
    "UpsertOnSave",
    "SweepsByAStaleRead",
    "WritesBackTheWholeRecord",
    "AdoptsUnknownIds",
    "AdoptsUnknownTokens",
    "TouchCarriesData",
}


def empty_places(mutant: Mutant, tmp_path: Path) -> Callable[[], MakeStore]:
    """Give what makes a new place for a mutant: a file if it has one, else its own memory."""
    if not mutant.capabilities.shared:
        return lambda: mutant.store
    return lambda: partial(mutant.store, Path(tempfile.mkdtemp(dir=tmp_path)) / "shelf")


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_planted_bug_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    """Every case that is named for a planted bug fails on it, in every mode, and for what the store did."""
    judged = verdicts(
        empty_places(mutant, tmp_path),
        capabilities=mutant.capabilities,
        cases=mutant.caught_by,
        modes=mutant.modes,
        profile=SMALL,
    )
    played = [verdict for verdict in judged if verdict.status != "skip"]
    assert {verdict.case for verdict in played} == set(mutant.caught_by)
    assert [f"{v.case} [{v.mode}]" for v in played if v.status != "fail"] == []
    assert [v.error for v in played if not isinstance(v.error, WHAT_A_KIT_RAISES)] == []
    # A mutant that is broken in another way than it says would be caught for the wrong reason.
    assert [v.error for v in played if "TypeError" in str(v.error) or "AttributeError" in str(v.error)] == []


def test_the_right_twin_of_the_mutants_passes() -> None:
    """The model, of which every mutant is one part done wrong, shows every behaviour."""
    judged = verdicts(lambda: ModelStore, capabilities=PER_PROCESS, profile=SMALL)
    assert list(failures(judged)) == []
    assert {verdict.case for verdict in judged if verdict.status == "ok"} == set(CASES) - {
        "another_connection_sees_the_same",
        "sessions_outlive_every_connection",
    }


@pytest.mark.processes
def test_the_right_twin_in_processes_passes(tmp_path: Path) -> None:
    """The twin that keeps its file locked from reading to writing shows in processes what the mutant does not."""
    caught = MUTANTS["LocksOneProcessOnly"].caught_by
    judged = verdicts(lambda: partial(ShelfStore, tmp_path / "shelf"), cases=caught, profile=SMALL)
    assert [(verdict.mode, verdict.status) for verdict in judged] == [
        ("threads", "ok"),
        ("tasks", "ok"),
        ("processes", "ok"),
    ]


def test_a_bug_between_processes_is_invisible_in_threads(tmp_path: Path) -> None:
    """What only locks its own process passes in threads: the races between processes are not redundant."""
    mutant = MUTANTS["LocksOneProcessOnly"]
    judged = verdicts(empty_places(mutant, tmp_path), cases=mutant.caught_by, modes=["threads"], profile=SMALL)
    assert [verdict.status for verdict in judged] == ["ok"]


def test_the_promised_bugs_are_planted() -> None:
    """The bugs that the project says its kit catches are all there, and every one says what it is in a line."""
    assert MUTANTS.keys() >= PROMISED
    assert [name for name, mutant in MUTANTS.items() if not mutant.bug or len(mutant.bug) > 120] == []
    assert [name for name, mutant in MUTANTS.items() if not set(mutant.caught_by) <= CASES.keys()] == []
    assert {mutant.store.__module__.rpartition(".")[2] for mutant in MUTANTS.values()} == set(FAMILIES)


def test_every_subject_has_cases() -> None:
    """No module of cases is empty, and none is missing from the catalogue."""
    assert {case.subject for case in CASES.values()} == set(SUBJECTS)


def test_verdicts_tell_what_was_wrong() -> None:
    """A verdict carries the error and one line of it; an unknown case is refused by name."""
    [verdict] = verdicts(
        lambda: MUTANTS["TheLastReasonWins"].store,
        capabilities=PER_PROCESS,
        cases=["the_first_reason_stays"],
        modes=["blocking"],
    )
    assert (verdict.status, verdict.mode) == ("fail", "blocking")
    assert verdict.reason.startswith("AssertionError")
    with pytest.raises(ValueError, match="no_such_case"):
        verdicts(lambda: ModelStore, cases=["no_such_case"])


@pytest.mark.processes
def test_a_factory_that_cannot_be_pickled_is_told_the_remedy(tmp_path: Path) -> None:
    """A store that is reached by other processes, made by a lambda, fails with the way to write it instead."""
    [verdict] = verdicts(
        lambda: lambda: ShelfStore(tmp_path / "shelf"), cases=["one_end_is_the_first"], modes=["processes"]
    )
    assert verdict.status == "fail"
    assert "functools.partial" in str(verdict.error)


def test_a_failing_caller_is_shown_with_its_traceback() -> None:
    """A caller that raises in a thread fails the race with its number and its own traceback."""

    class Breaks(ModelStore):
        def end(self, command: object) -> object:  # type: ignore[override]
            raise OSError("the disk is gone")

    [verdict] = verdicts(
        lambda: Breaks, capabilities=PER_PROCESS, cases=["one_end_is_the_first"], modes=["threads"], profile=SMALL
    )
    assert "caller" in str(verdict.error)
    assert "the disk is gone" in str(verdict.error)
    assert "def end" in str(verdict.error) or "in end" in str(verdict.error)


def test_capabilities_name_what_is_missing() -> None:
    """A skip says which capability the store declared missing."""
    judged = verdicts(lambda: ModelStore, capabilities=Capabilities(locks=False), cases=["only_the_holder_releases"])
    assert {verdict.status for verdict in judged} == {"skip"}
    assert {verdict.reason for verdict in judged} == {"the store declares Capabilities(locks=False)"}


def test_the_deep_profile_has_the_quoted_counts() -> None:
    """The deep column carries the counts of the promises: 8 processes x 64 callers x 400 rounds."""
    from sessionguard.testing import DEEP

    assert (DEEP.slot_processes, DEEP.slot_callers, DEEP.slot_rounds) == (8, 64, 400)


def test_the_profile_of_this_run_is_frozen(sg_profile: Profile) -> None:
    """The fixture gives the counts as a frozen value."""
    with pytest.raises(AttributeError):
        sg_profile.rounds = 0  # type: ignore[misc]
