"""Debug mode: what steps really do is compared with the points before them, of planted stores and of our own."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core.points import Part, point
from sessionguard.errors import MisuseError
from sessionguard.stores.file import FileStore, locked
from sessionguard.stores.postgres import PostgresStore, exchanges
from sessionguard.stores.redis import RedisStore
from sessionguard.stores.sqlite import SQLiteStore
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.catalogue import CASES
from sessionguard.testing.contracts.encounters import EncounterCase
from sessionguard.testing.contracts.grounds import blocking_ground
from sessionguard.testing.profile import Profile
from sessionguard.testing.schedule import Budget, Interleaver, Outcome, Scenario
from sessionguard.testing.schedule.accesses import Point
from sessionguard.testing.schedule.io.hearing import seen
from sessionguard.testing.schedule.io.listening import mine
from sessionguard.testing.schedule.io.statements import parsed
from sessionguard.testing.schedule.track import Track

CHECKED = Interleaver(check_points=True, budget=Budget(schedules=60, seconds=2.0))


# Planted


def files(s: Scenario, folder: Path, resource: Callable[[str], Any]) -> None:
    """Two workers write one file, each after the point that `resource` names."""

    def write(name: str) -> None:
        point("write", resource(name), "w")
        (folder / "shared").write_text(name)

    for name in "ab":
        s.worker(name, partial(write, name))


def test_points_that_name_different_things_before_one_file_are_told(tmp_path: Path) -> None:
    """The message names both accesses, both workers and what they reach; a shared lock or point makes it right."""
    outcome = CHECKED.run(partial(files, folder=tmp_path, resource=str))
    assert outcome.failure is not None
    message = outcome.failure.verdict.message
    assert "a did open shared w after its point write a" in message
    assert "b did open shared w after its point write b" in message
    assert f"both reach {tmp_path / 'shared'}" in message
    assert CHECKED.run(partial(files, folder=tmp_path, resource=str), replay=outcome.failure.replay_id).failure
    assert CHECKED.run(partial(files, folder=tmp_path, resource=lambda name: "file")).exhausted


def test_what_a_declared_lock_keeps_apart_is_right(tmp_path: Path) -> None:
    """Steps that an earlier access puts in order are not taken for undeclared."""

    def write(name: str) -> None:
        point("take", "lock", "acq")
        point("begin", name, "w")
        (tmp_path / "shared").write_text(name)
        point("give back", "lock", "rel")

    def scenario(s: Scenario) -> None:
        for name in "ab":
            s.worker(name, partial(write, name))

    assert CHECKED.run(scenario).exhausted


@pytest.mark.parametrize("is_told", [True, False])
def test_rows_are_told_apart_by_the_values_that_name_them(is_told: bool, tmp_path: Path) -> None:
    """Two statements about one table meet where they name the same row, or one of them names none."""

    def save(connection: sqlite3.Connection, name: str) -> None:
        point("INSERT", Part("rows", name), "w")
        connection.execute("INSERT INTO rows VALUES (?)", ("same row" if is_told else f"row of {name}",))

    def scenario(s: Scenario) -> None:
        for name in "ab":
            connection = sqlite3.connect(tmp_path / "db", isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("CREATE TABLE IF NOT EXISTS rows (name)")
            s.worker(name, partial(save, connection, name))

    assert (CHECKED.run(scenario).failure is not None) is is_told


def test_io_and_the_check_of_points_exclude_each_other() -> None:
    """Where each access is a point nothing can be undeclared."""
    with pytest.raises(MisuseError, match="nothing to check"):
        Interleaver(io=True, check_points=True).run(lambda s: None)


# Our own


@pytest.fixture
def told_exchanges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the PostgreSQL store tell of its statements: it works below the cursors that the io engine sees."""
    for kind in (exchanges.PreparedExchange, exchanges.WholeExchange):
        monkeypatch.setattr(kind, "ask", telling(kind.ask))


def telling(real: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Give a method that tells of a statement, and then asks."""

    def ask(self: Any, verb: str, parameters: Any) -> Iterator[Any]:
        listener = mine()
        if listener is not None:
            text = self._statements[verb].decode()
            access = parsed(text).access(listener.place(("postgres", "sessions")), parameters)
            if access is not None:
                listener.reach(access)
        return (yield from real(self, verb, parameters))

    return ask


_UNSEEN = "what nobody reads in "
CASES_TO_CHECK = ("openings_meet_end_owner", "a_load_meets_a_sweep")


def checked(name: str, make: Callable[[], Any], profile: Profile, **settings: Any) -> Outcome:
    """Give what comes of an encounter on a store of ours, whose points are compared with what it does."""
    case = CASES[name]
    assert isinstance(case, EncounterCase)
    # Around all of it: a store connects when it is first asked.
    with seen(), blocking_ground(Candidate(make)) as ground:
        assert ground.yields.kind == "declared"
        case._rehearse(ground)
        budget = Budget(40 if profile.name == "ci" else 2_000, profile.encounter_seconds)
        search = Interleaver(check_points=True, budget=budget, **{**ground.settings, **settings})
        return search.run(partial(case._play, ground))


def made(kind: str, folder: Path, request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Give what connects to a store of ours of that kind."""
    if kind == "sqlite":
        return partial(SQLiteStore, folder / "sessions.db")
    if kind == "file":
        return partial(FileStore, folder / "sessions")
    server = request.getfixturevalue(f"{kind}_server")
    if kind == "redis":
        return partial(RedisStore, server.url, prefix=request.getfixturevalue("key_prefix"))
    make = partial(PostgresStore, server.url, schema=request.getfixturevalue("schema_name"))
    store = make()
    store.migrate()
    store.close()
    return make


@pytest.mark.usefixtures("told_exchanges")
@pytest.mark.parametrize("kind", ["sqlite", "file", "redis", "postgres"])
def test_points_that_say_nothing_would_be_told(
    kind: str, tmp_path: Path, sg_profile: Profile, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every point of a store about something of its own, its steps are seen to meet: so the check can fail."""
    alone = itertools.count()

    def misled(self: Track, label: str, resource: Any, mode: str) -> Point:
        return Point(label, ("alone", next(alone)) if mode in ("r", "w") else resource, mode)

    monkeypatch.setattr(Track, "point", misled)
    make = made(kind, tmp_path, request)
    outcome = checked(CASES_TO_CHECK[0], make, sg_profile, strategy="random", must_repeat=False, shrink_seconds=0.1)
    assert outcome.failure is not None, outcome.describe()
    assert outcome.failure.verdict.reason == "undeclared"


@pytest.fixture
def seen_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what a store of files writes behind the end of a journal for a write of its shard.

    It declares that nobody reads it, which is so: readers go no further than the header says, and the header is written
    after the point `decide`. But it is the same file, and by its path alone that cannot be told.
    """

    def seen_point(label: str, resource: Any, mode: Any) -> None:
        if str(resource).startswith(_UNSEEN):
            folder, _, shard = str(resource).removeprefix(_UNSEEN).rpartition("/")
            resource = Part(Path(folder) if isinstance(resource, Path) else folder, shard)
        point(label, resource, mode)

    monkeypatch.setattr(locked, "point", seen_point)


@pytest.mark.usefixtures("told_exchanges", "seen_journals")
@pytest.mark.parametrize("case", CASES_TO_CHECK)
@pytest.mark.parametrize("kind", ["sqlite", "file", "redis", "postgres"])
def test_our_stores_do_what_their_points_say(
    case: str, kind: str, tmp_path: Path, sg_profile: Profile, request: pytest.FixtureRequest
) -> None:
    """No two steps meet in a table, a key or a file although their points have nothing in common."""
    make = made(kind, tmp_path, request)
    outcome = checked(case, make, sg_profile)
    assert outcome.ok, outcome.failure and outcome.failure.verdict.message
