"""The fixture `store_contract` and the factories that it, and the command, are given."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from sessionguard.errors import InvalidArgumentError
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing import CI, PER_PROCESS, Capabilities
from sessionguard.testing.contracts.factory import Factory, new_place
from sessionguard.testing.contracts.fixture import JudgeStore
from sessionguard.testing.contracts.reporting import render, summary
from sessionguard.testing.contracts.verdicts import Verdict
from sessionguard.testing.mutants.endings import TheLastReasonWins
from sessionguard.testing.mutants.shelf import ShelfStore
from tests.contract.planted_orders import LosesUpdates
from tests.contract.test_plain import PlainStore

EVERY_PLACE = Capabilities()


@pytest.fixture
def judge_store(tmp_path: Path) -> JudgeStore:
    """The fixture as a test is given it."""
    return JudgeStore(tmp_path, evolve(CI, rounds=2, callers=3))


def on_a_shelf(folder: Path) -> ShelfStore:
    """Give a store whose sessions lie in a folder."""
    return ShelfStore(folder / "db")


def failure_of(call: Callable[[], object]) -> str:
    """Give the report with which the fixture fails its test."""
    with pytest.raises(pytest.fail.Exception) as caught:
        call()
    return str(caught.value)


def test_a_right_store_is_given_its_verdicts(judge_store: JudgeStore) -> None:
    """A factory of a folder is asked in all modes, and the verdicts come back."""
    judged = judge_store(on_a_shelf, cases=["the_first_reason_stays", "sessions_outlive_every_connection"])
    assert {(verdict.mode, verdict.status) for verdict in judged} == {("blocking", "ok"), ("async", "ok")}
    assert len(judged) == 4


def test_an_async_store_is_recognised(judge_store: JudgeStore) -> None:
    """A factory of an async store needs no more than a blocking one; what only a blocking one can show is skipped."""
    judged = judge_store(
        lambda: OffloadedStore(MemoryStore()), capabilities=PER_PROCESS, cases=["the_first_reason_stays"]
    )
    assert {(verdict.mode, verdict.status) for verdict in judged} == {("blocking", "skip"), ("async", "ok")}


def test_a_wrong_store_fails_with_what_it_did_not_show(judge_store: JudgeStore) -> None:
    """The report has each failure with its behaviour and the values that were compared, and counts the rest."""
    report = failure_of(
        lambda: judge_store(TheLastReasonWins, capabilities=PER_PROCESS, cases=["the_first_reason_stays"])
    )
    assert "FAILED  the_first_reason_stays [blocking]" in report
    assert "Ending an ended session is refused" in report
    assert "At index 0 diff: <Outcome.DONE" in report
    assert report.endswith("2 failed")


def test_untrue_capabilities_fail(judge_store: JudgeStore) -> None:
    """An ability that is there and declared missing, so that its cases are skipped, is told."""
    capabilities = evolve(PER_PROCESS, locks=False)
    report = failure_of(lambda: judge_store(MemoryStore, capabilities=capabilities, cases=["the_first_reason_stays"]))
    assert "MemoryStore is a LockingStore; take locks=False out" in report


def test_nothing_played_is_no_success(judge_store: JudgeStore) -> None:
    """If all that was chosen is skipped, nothing was shown."""
    cases = ["sessions_outlive_every_connection"]
    report = failure_of(lambda: judge_store(MemoryStore, capabilities=PER_PROCESS, cases=cases))
    assert report.startswith("skipped 2: the store declares Capabilities(durable=False, shared=False)")


def raises(folder: Path) -> Any:
    """Give nothing."""
    raise OSError("no disk")


async def coroutine(folder: Path) -> Any:
    """Give a store, but only to who awaits it."""


@pytest.mark.parametrize(
    "factory, capabilities, told",
    [
        (5, EVERY_PLACE, "something of type int, which cannot be called"),
        (lambda folder, name: None, EVERY_PLACE, "it wants the arguments folder, name"),
        (lambda *, folder: None, EVERY_PLACE, "it wants the arguments folder"),
        (lambda folder: None, EVERY_PLACE, "it gives None, which has no verbs"),
        (raises, EVERY_PLACE, "calling it raised OSError: no disk"),
        (coroutine, EVERY_PLACE, "it is a coroutine function"),
        (MemoryStore, EVERY_PLACE, "it takes no argument"),
    ],
)
def test_what_makes_no_store_is_refused(
    judge_store: JudgeStore, factory: Any, capabilities: Capabilities, told: str
) -> None:
    """Whatever is wrong with a factory is said in one line, before any case is played."""
    with pytest.raises(InvalidArgumentError, match=told):
        judge_store(factory, capabilities=capabilities, cases=["the_first_reason_stays"])


def test_an_unknown_case_is_refused(judge_store: JudgeStore) -> None:
    """A mistyped name is no case that passed."""
    with pytest.raises(ValueError, match="no case is called the_last_reason"):
        judge_store(on_a_shelf, cases=["the_last_reason"])


@pytest.mark.parametrize(
    "make, takes_folder",
    [(SQLiteStore, True), (MemoryStore, False), (on_a_shelf, True), (lambda *args: None, False), (dict, False)],
)
def test_a_factory_takes_a_folder_if_it_must(make: Callable[..., Any], takes_folder: bool) -> None:
    """One argument without a default is the folder; defaults are left as they are."""
    assert Factory.of(make).takes_folder is takes_folder


def test_a_place_is_new_and_its_name_an_identifier(tmp_path: Path) -> None:
    """A name that no run has used before does for a key prefix or a schema."""
    one, other = new_place(tmp_path), new_place(tmp_path)
    assert one != other
    assert one.name.isidentifier()
    assert list(one.iterdir()) == []


def test_a_long_failure_is_cut() -> None:
    """The report of many lines keeps those that say what it is."""
    verdict = Verdict("the_first_reason_stays", "blocking", "fail", "\n".join(map(str, range(100))))
    lines = render([verdict]).splitlines()
    assert lines[2:4] == ["    0", "    1"]
    assert "    ... and 75 more lines" in lines
    assert summary([]) == "nothing played"


def test_a_long_race_keeps_its_last_rows_and_the_line_that_repeats_it(judge_store: JudgeStore) -> None:
    """Of a table only the middle is cut, so what went wrong is seen, and the command, and what the checker says."""
    rows = [f"  {number} | row" for number in range(1, 60)]
    told = [
        "EncounterError",
        "RACE  two sessions",
        *rows,
        "  reproduce: pytest --sg-replay='sg1:x'",
        "  ILLEGAL  no order",
    ]
    lines = [
        line.strip() for line in render([Verdict("saves_meet_saves", "threads", "fail", "\n".join(told))]).splitlines()
    ]
    assert "RACE  two sessions" in lines
    assert {f"{number} | row" for number in (1, 50, 59)} <= set(lines)
    assert "30 | row" not in lines
    assert lines[lines.index("59 | row") + 1 :][:2] == ["reproduce: pytest --sg-replay='sg1:x'", "ILLEGAL  no order"]
    assert "... 37 lines are left out" in lines


def test_a_race_shows_what_was_asked(judge_store: JudgeStore) -> None:
    """The table has commands in their short form, with the fields that decide, as the part of the checker has them."""
    cases, modes = ["strict_saves_meet_saves"], ["interleaved"]
    report = failure_of(lambda: judge_store(LosesUpdates, capabilities=PER_PROCESS, cases=cases, modes=modes))
    table = report.partition("reproduce:")[0]
    assert re.search(r"save\(\w{6}, \{.*\}, expected_version=\d\)", table), report
    assert "Save(" not in table


class OnlyOpens:
    """A store whose author has just begun."""

    name = "young"

    def create(self, command: object) -> None:
        """Open nothing yet."""

    def load(self, command: object) -> None:
        """Find nothing yet."""


@pytest.mark.parametrize(
    "factory, capabilities, told",
    [
        (
            lambda folder: OnlyOpens(),
            EVERY_PLACE,
            "OnlyOpens, which lacks identify, get_or_create, replace, get, ",
        ),
        (
            lambda folder: PlainStore(),
            EVERY_PLACE,
            r"lacks page \(listing\) and acquire_lock, renew_lock, release_lock \(locks\) "
            r"and hold_lease, release_lease, leased_until \(leases\) and census, .* \(fleet\) "
            r"and limits_sessions \(limits\); .* "
            r"Capabilities\(listing=False, locks=False, leases=False, fleet=False, limits=False\), "
            r"on a command line --without listing,locks,leases,fleet,limits",
        ),
        (
            lambda folder: MemoryStore(),
            EVERY_PLACE,
            "what one store opens, another store of the same place does not find; .*=PER_PROCESS, .* --per-process",
        ),
        (
            lambda folder: OffloadedStore(MemoryStore()),
            EVERY_PLACE,
            "what one store opens, another store of the same place does not find",
        ),
    ],
)
def test_what_a_store_lacks_is_told_before_any_case_is_played(
    judge_store: JudgeStore, factory: Any, capabilities: Capabilities, told: str
) -> None:
    """Verbs, abilities and a place that is shared are looked for first, and their absence is told with its remedy."""
    with pytest.raises(InvalidArgumentError, match=told):
        judge_store(factory, capabilities=capabilities, cases=["the_first_reason_stays"])
