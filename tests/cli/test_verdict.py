"""The verdict follows from what clients received, and each half of it can fail."""

import re

import pytest
from attrs import evolve

from sessionguard.cli.demo.findings import Finding, Phase, Run, judge

BENUE, KEBBI = "MARK-benue-000000000000000b", "MARK-kebbi-000000000000000c"


def _finding(user: str, marker: str, session_id: str) -> Finding:
    return Finding(
        user=user,
        marker=marker,
        session_id=session_id,
        upload_worker="A/1",
        workers=("A/1", "B/2"),
        told=f"All data is from {user.title()}",
        received=frozenset({marker}),
        is_intact=True,
        damage=None,
        was_lent=False,
        problem=None,
    )


BENUE_CLEAN = _finding("benue", BENUE, "aaaaaaaaaaaa")
KEBBI_CLEAN = _finding("kebbi", KEBBI, "bbbbbbbbbbbb")
CLEAN = Run("guarded", (Phase("two users", ((BENUE_CLEAN, KEBBI_CLEAN),)),))
BLED = Run("broken", (Phase("two users", ((BENUE_CLEAN, evolve(KEBBI_CLEAN, received=frozenset({BENUE, KEBBI}))),)),))


def _with_kebbi(kebbi: Finding) -> Run:
    return Run("guarded", (Phase("two users", ((BENUE_CLEAN, kebbi),)),))


def test_bleed_in_the_broken_app_alone_passes() -> None:
    """It passes if the broken app bled and the guarded one is clean."""
    verdict = judge(BLED, CLEAN)
    assert verdict.is_passed
    assert verdict.reasons == ()


def test_no_bleed_in_the_broken_app_fails() -> None:
    """A run in which the bleed cannot be seen proves nothing about the guarded app."""
    verdict = judge(CLEAN, CLEAN)
    assert not verdict.is_passed
    assert (verdict.bleed_seen, verdict.guard_holds) == (False, True)
    assert verdict.reasons == ("two users: the broken app showed no bleed",)


def test_every_scene_must_bleed_in_the_broken_app() -> None:
    """One scene with a bleed does not stand in for another without."""
    verdict = judge(Run("broken", (*BLED.phases, *CLEAN.phases)), CLEAN)
    assert not verdict.bleed_seen


def test_nothing_played_fails() -> None:
    """Runs without scenes pass neither half."""
    verdict = judge(Run("broken", ()), Run("guarded", ()))
    assert (verdict.bleed_seen, verdict.guard_holds) == (False, False)


def test_bleed_in_any_round_of_the_guarded_app_fails() -> None:
    """One clean round does not make up for another that bled."""
    bled = evolve(KEBBI_CLEAN, received=frozenset({BENUE, KEBBI}), session_id="cccccccccccc")
    other = evolve(BENUE_CLEAN, session_id="dddddddddddd")
    run = Run("guarded", (Phase("two users", ((BENUE_CLEAN, KEBBI_CLEAN), (other, bled))),))
    assert judge(BLED, run).reasons == ("two users: in the guarded app, kebbi was sent data of benue",)


@pytest.mark.parametrize(
    "kebbi, reason",
    [
        (evolve(KEBBI_CLEAN, received=frozenset({BENUE, KEBBI})), "was sent data of benue"),
        (evolve(KEBBI_CLEAN, received=frozenset()), "was not sent the own data"),
        (evolve(KEBBI_CLEAN, is_intact=False), "did not get the own files back"),
        (evolve(KEBBI_CLEAN, damage="9 shapes but 3 rows"), r"9 shapes but 3 rows"),
        (evolve(KEBBI_CLEAN, was_lent=True), "was answered with another user's id"),
        (evolve(KEBBI_CLEAN, problem="/upload was answered 500"), r"could not finish \(/upload was answered 500\)"),
        (evolve(KEBBI_CLEAN, session_id=BENUE_CLEAN.session_id), "named one id, aaaaaaaa, to benue and kebbi"),
    ],
)
def test_anything_wrong_in_the_guarded_app_fails(kebbi: Finding, reason: str) -> None:
    """Each thing that can go wrong for a user of the guarded app fails the verdict and is named."""
    verdict = judge(BLED, _with_kebbi(kebbi))
    assert (verdict.bleed_seen, verdict.guard_holds) == (True, False)
    (said,) = verdict.reasons
    assert re.search(reason, said)


def test_a_marker_of_the_same_state_from_another_upload_is_foreign() -> None:
    """Not the name but the marker tells: an earlier upload of the same user is foreign data as well."""
    earlier = "MARK-kebbi-00000000000000ff"
    assert evolve(KEBBI_CLEAN, received=frozenset({KEBBI, earlier})).foreign == ("kebbi",)


def test_shared_ids_are_counted_and_named() -> None:
    """The check that finds the incident in minutes: uploads, different ids, and who shares one."""
    shared = evolve(KEBBI_CLEAN, session_id="aaaaaaaaaaaa")
    failed = evolve(KEBBI_CLEAN, user="plateau", session_id=None, problem="no answer")
    phase = Phase("three users", ((BENUE_CLEAN, shared, failed),))
    assert (phase.upload_count, phase.id_count) == (2, 1)
    assert phase.shared_ids == {"aaaaaaaaaaaa": ("benue", "kebbi")}


def test_the_worst_round_is_shown() -> None:
    """The round with most foreign data is the one a table shows."""
    bled = evolve(KEBBI_CLEAN, received=frozenset({BENUE, KEBBI}))
    phase = Phase("two users", ((BENUE_CLEAN, KEBBI_CLEAN), (BENUE_CLEAN, bled)))
    assert phase.worst_round == (BENUE_CLEAN, bled)
