"""How much each proof does: one table, a column for every push and a column with the counts that promises name."""

from typing import Final, Literal

from attrs import frozen

ProfileName = Literal["ci", "deep"]


@frozen
class Profile:
    """The counts of one run. Every case runs under every profile; only how often differs."""

    name: str
    rounds: int
    """How often a race is repeated."""
    callers: int
    """Threads, tasks, or threads of each process that race against each other."""
    processes: int
    slot_rounds: int
    """Rounds of the one race with a quoted count: all callers of all processes open one slot."""
    slot_callers: int
    slot_processes: int
    encounter_schedules: int
    """How many schedules of one encounter are played at most."""
    encounter_seconds: float
    """How long one encounter is searched on a store that is reached through a disk or a server."""
    examples: int
    """Traces that the state machine draws in each mode."""
    steps: int
    """Commands in one trace."""
    programs: int
    """Random programs on which the searches of the scheduler are compared with all schedules there are."""
    kills: int
    """How many processes are killed while they write."""
    storms: int
    """How many histories of unscheduled clients are recorded and checked, on each engine."""
    mutant_seeds: int
    """With how many seeds each planted bug must be caught by each layer that is there for it."""
    twin_schedules: int
    """Random schedules in which no right implementation may be called wrong, of all of them together."""
    replays: int
    """How often the id of a failure must repeat it."""
    live_rows: int
    """How many sessions a store holds when the cost of asking for a few of them is measured."""
    seconds: float
    """For tests that go on for a while."""
    patience: float
    """No wait is longer than this many seconds; whoever is late by then has failed."""


CI: Final = Profile(
    name="ci",
    rounds=4,
    callers=6,
    processes=2,
    slot_rounds=8,
    slot_callers=16,
    slot_processes=3,
    encounter_schedules=4_000,
    encounter_seconds=0.2,
    examples=15,
    steps=30,
    programs=25,
    kills=5,
    storms=3,
    mutant_seeds=2,
    twin_schedules=4_000,
    replays=5,
    live_rows=5_000,
    seconds=1.0,
    patience=60.0,
)
DEEP: Final = Profile(
    name="deep",
    rounds=50,
    callers=16,
    processes=4,
    slot_rounds=400,
    slot_callers=64,
    slot_processes=8,
    encounter_schedules=100_000,
    encounter_seconds=20.0,
    examples=300,
    steps=60,
    programs=1_500,
    kills=100,
    storms=30,
    mutant_seeds=100,
    twin_schedules=100_000,
    replays=100,
    live_rows=100_000,
    seconds=15.0,
    patience=600.0,
)
PROFILES: Final = {profile.name: profile for profile in (CI, DEEP)}
