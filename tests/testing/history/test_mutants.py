"""Planted bugs: what a buggy store answers is no legal history, what a right one answers is."""

import pytest

from sessionguard.testing import Profile
from sessionguard.testing.contracts.identity import LOOK_ALIKE_OWNERS
from sessionguard.testing.history import Illegal, SessionModel, check
from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.catalogue import MUTANTS
from sessionguard.testing.mutants.planting import Gap
from sessionguard.testing.storms import storm
from tests.testing.history.simulated import simulated

ONE_AFTER_THE_OTHER = (
    "AdoptsUnknownTokens",
    "AliveAtItsDeadline",
    "BelievesEveryClock",
    "EndKillsSiblings",
    "EndsByPrefix",
    "EndsOnceMore",
    "EndsTheOneToKeep",
    "FindsCreatedSessions",
    "ForgetsTheExternalId",
    "ForgetsToReportExpired",
    "GenerationRestarts",
    "GraceForEver",
    "HandsOutNewTokens",
    "HasOneKindOfNumber",
    "IgnoresTheScope",
    "IgnoresTheVersion",
    "KeepsDataAtTheEnd",
    "LivesForEver",
    "LocksNobodyOut",
    "LocksOfTheDead",
    "LoginTakesTheSlot",
    "MergesDeeply",
    "NeverRecognises",
    "NoGrace",
    "OpensAgain",
    "OverwritesOnOpening",
    "PurgeForgetsGenerations",
    "PurgesAllHistory",
    "PurgesTheExpired",
    "ReplaceLeavesTwoActive",
    "ReplacesAllData",
    "RotatesWithoutCompare",
    "SaveExtends",
    "SweepsATickEarly",
    "SweepsByTheFirstDeadline",
    "SweepsWithoutLimit",
    "TheLastReasonWins",
    "TouchCarriesData",
    "TouchesAtEveryRead",
    "UpsertOnSave",
)
"""Wrong even when only one command is under way at a time."""

IN_A_RACE = (
    "CheckThenInsert",
    "ComparesThenRotates",
    "ComparesThenWrites",
    "EndsWhatHasJustEnded",
    "OneReplyForAll",
    "ReplacesInTwoSteps",
    "SavesWhatHasJustEnded",
    "SweepsByAStaleRead",
    "TakesInTwoSteps",
    "TouchWritesTheWholeRecord",
    "WritesBackTheWholeRecord",
)
"""Wrong only when commands meet."""


@pytest.mark.parametrize("name", ONE_AFTER_THE_OTHER)
def test_a_planted_bug_is_illegal(name: str) -> None:
    """Among a few histories of the buggy store one is illegal."""
    for seed in range(150):
        history = simulated(MUTANTS[name].store(), clients=4, operations=120, seed=seed)
        if isinstance(check(history, SessionModel), Illegal):
            return
    pytest.fail(f"no history showed it: {MUTANTS[name].bug}")


@pytest.mark.parametrize("name", ["FoldsCase", "Normalises", "CutsNames"])
def test_a_bug_in_comparing_names_is_illegal(name: str) -> None:
    """Sessions of owners that look alike are told apart."""
    for seed in range(40):
        history = simulated(MUTANTS[name].store(), clients=4, operations=200, seed=seed, owners=LOOK_ALIKE_OWNERS)
        if isinstance(check(history, SessionModel), Illegal):
            return
    pytest.fail(f"no history showed it: {MUTANTS[name].bug}")


IN_LOCKS = (
    "AnswersWithTheFenceOfNow",
    "AnyoneReleases",
    "ChecksTheFenceFirst",
    "ChecksTheVersionFirst",
    "EveryReleaseIsDone",
    "FenceRestarts",
    "FencesByAnyLock",
    "FencesOnlyWhileHeld",
    "FencesTheLapsed",
    "FencesTheUnlocked",
    "ForgetsReleases",
    "IgnoresTheFence",
    "ReleasesOnceMore",
    "RemembersTheLastRelease",
)
LOCKING = {"create": 2, "acquire": 8, "renew": 2, "release": 4, "fenced_save": 8, "save": 1, "end": 1}


@pytest.mark.parametrize("name", IN_LOCKS)
def test_a_bug_in_locks_is_illegal(name: str) -> None:
    """Fences grow, holders keep others out, and saves with a former fence are refused."""
    for seed in range(100):
        history = simulated(
            MUTANTS[name].store(), clients=4, operations=120, seed=seed, owners=("ana",), frequencies=LOCKING
        )
        if isinstance(check(history, SessionModel), Illegal):
            return
    pytest.fail(f"no history showed it: {MUTANTS[name].bug}")


@pytest.mark.parametrize("name", IN_A_RACE)
def test_a_planted_race_is_illegal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among a few storms of threads on the racy store one is illegal."""
    # Where nobody comes into the gap the bug does not show, so there is no use in waiting long.
    monkeypatch.setattr(Gap, "patience", 0.002)
    for seed in range(100):
        if isinstance(check(storm(MUTANTS[name].store(), clients=4, operations=50, seed=seed), SessionModel), Illegal):
            return
    pytest.fail(f"no storm showed it: {MUTANTS[name].bug}")


def test_the_right_store_passes_the_same_storms(sg_profile: Profile) -> None:
    """The model, of which each of them is one part done wrong, is never refused."""
    for seed in range(2 * sg_profile.examples):
        for history in (
            simulated(ModelStore(), clients=4, operations=120, seed=seed),
            simulated(ModelStore(), clients=4, operations=200, seed=seed, owners=LOOK_ALIKE_OWNERS),
            storm(ModelStore(), clients=4, operations=50, seed=seed).operations,
        ):
            verdict = check(history, SessionModel)
            assert verdict.is_legal, verdict.render()
