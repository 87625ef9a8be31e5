"""The life cycle: the table, the page that explains it, and the judgements that follow from it."""

from pathlib import Path

import pytest
from attrs import evolve

from sessionguard.core.lifecycle import (
    OUTCOMES,
    Refusal,
    State,
    Verb,
    allows,
    refusal_of,
    settled,
    state_of,
    touch_is_due,
)
from sessionguard.core.opening import ended_record, touched_record
from tests.core.making import HASH, POLICY, START_US, record

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "life-cycle.md"
IDLE_US = POLICY.lifetime().idle_us
ABSOLUTE_US = POLICY.lifetime().absolute_us


def documented() -> dict[tuple[State, Verb], State | None]:
    """Give the table of the page in the form of `OUTCOMES`."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if "|" in line]
    start = rows.index(["verb", "active", "expired", "ended"])
    states = [State(name) for name in rows[start][1:]]
    found: dict[tuple[State, Verb], State | None] = {}
    for verb, *cells in rows[start + 2 : start + 2 + len(Verb)]:
        for state, cell in zip(states, cells, strict=True):
            if cell != "—":
                found[state, Verb(verb)] = None if cell == "forgotten" else State(cell)
    return found


def test_page_shows_the_table() -> None:
    """What docs/concepts/life-cycle.md says is what the code decides by, cell by cell."""
    assert documented() == dict(OUTCOMES)


def test_nothing_leads_back_to_active() -> None:
    """No verb makes an expired or ended session active."""
    assert all(before is State.ACTIVE for (before, _), after in OUTCOMES.items() if after is State.ACTIVE)


def test_only_replace_and_sweep_write_an_expiry_down() -> None:
    """Everything else is refused on an expired session, as if it had ended."""
    assert {verb for state, verb in OUTCOMES if state is State.EXPIRED} == {Verb.REPLACE, Verb.SWEEP}


@pytest.mark.parametrize(
    "later_us, state", [(IDLE_US - 1, State.ACTIVE), (IDLE_US, State.EXPIRED), (IDLE_US + 1, State.EXPIRED)]
)
def test_t23_expired_begins_at_the_deadline(later_us: int, state: State) -> None:
    """One microsecond before its deadline a session is active; from the deadline on it is expired."""
    assert state_of(record(), START_US + later_us) is state


@pytest.mark.parametrize("later_us", [0, IDLE_US, 10 * ABSOLUTE_US])
def test_ended_is_ended_at_any_instant(later_us: int) -> None:
    """A reason outweighs every deadline."""
    assert state_of(record(reason="revoked", ended_us=START_US), START_US + later_us) is State.ENDED


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("later_us", [0, IDLE_US])
@pytest.mark.parametrize("reason", [None, "revoked"])
def test_allows_is_the_table(verb: Verb, later_us: int, reason: str | None) -> None:
    """Nothing but the table decides what may be done."""
    shown = record(reason=reason)
    now_us = START_US + later_us
    assert allows(shown, verb, now_us) == ((state_of(shown, now_us), verb) in OUTCOMES)


def test_settled_shows_an_expired_session_as_ended_at_its_deadline() -> None:
    """A reader sees the reason and the instant of an expiry that no one has written down yet."""
    shown = settled(record(), START_US + IDLE_US + 5)
    assert (shown.reason, shown.ended_us) == ("expired", START_US + IDLE_US)


@pytest.mark.parametrize("reason", [None, "escalated"])
def test_settled_leaves_the_others_alone(reason: str | None) -> None:
    """Active and ended records are shown as they are."""
    assert settled(record(reason=reason), START_US) == record(reason=reason)


@pytest.mark.parametrize("later_us, due", [(59_999_999, False), (60_000_000, True)])
def test_touch_is_due_after_its_interval(later_us: int, due: bool) -> None:
    """Being seen is written down from one touch interval on."""
    assert record().touch_us == 60_000_000
    assert touch_is_due(record(), START_US + later_us) is due


OTHER = b"o" * 32
ROTATED = {"token_hash": OTHER, "previous_hash": HASH, "previous_until_us": START_US + 20}


@pytest.mark.parametrize(
    "changes, scope, later_us, refusal",
    [
        ({}, None, 0, None),
        ({}, "default", 0, None),
        ({}, "upload", 0, "foreign scope"),
        ({}, None, IDLE_US, "expired"),
        ({"reason": "expired"}, None, 0, "expired"),
        ({"reason": "revoked"}, None, 0, "ended"),
        ({"reason": "revoked"}, "upload", 0, "ended"),
        (ROTATED, None, 19, None),
        (ROTATED, None, 20, "after grace"),
        (ROTATED | {"previous_until_us": None}, None, 0, "after grace"),
    ],
)
def test_refusal_says_why_a_token_leads_nowhere(
    changes: dict[str, object], scope: str | None, later_us: int, refusal: Refusal | None
) -> None:
    """Every reason has its case, and the grace ends at its deadline as a session does."""
    assert refusal_of(record(**changes), HASH, scope, START_US + later_us) == refusal


def test_touch_extends_up_to_the_absolute_timeout() -> None:
    """The idle time begins anew, but never past the end that was set at the opening."""
    lifetime = POLICY.lifetime()
    touched = touched_record(record(), lifetime, START_US + 10)
    assert (touched.last_seen_us, touched.expires_us) == (START_US + 10, START_US + 10 + IDLE_US)
    late = touched_record(record(), lifetime, START_US + ABSOLUTE_US - 1)
    assert late.expires_us == START_US + ABSOLUTE_US


def test_t57_clock_that_went_back_shortens_nothing() -> None:
    """A touch judged by an earlier instant leaves deadlines where they were."""
    touched = touched_record(record(), POLICY.lifetime(), START_US + 10)
    assert touched_record(touched, POLICY.lifetime(), START_US - 3_600_000_000) == touched


def test_history_has_no_data_unless_the_policy_keeps_it() -> None:
    """The data is erased in the ending step itself."""
    full = record(data='{"a":1}')
    assert ended_record(full, POLICY.lifetime(), "revoked", START_US).data == "{}"
    assert ended_record(full, evolve(POLICY.lifetime(), keeps_data=True), "revoked", START_US).data == '{"a":1}'


def test_ended_at_is_the_deadline_of_an_expired_session() -> None:
    """An expiry that is written down late still happened when it happened."""
    late = START_US + IDLE_US + 1_000_000
    assert ended_record(record(), POLICY.lifetime(), "expired", late).ended_us == START_US + IDLE_US
    assert ended_record(record(), POLICY.lifetime(), "revoked", START_US + 7).ended_us == START_US + 7
