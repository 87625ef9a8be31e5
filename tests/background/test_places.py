"""Of the machines of a fleet one ends sessions, and each place for files is looked after by who has it."""

import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import Removed, SessionGuard, SweepReport
from sessionguard.core.file_commands import FindGarbage
from sessionguard.core.fleet import TakeTurn
from sessionguard.core.turns import LEAD, RUN, RUN_SECONDS
from sessionguard.guard import _background_pass
from sessionguard.workspaces.local import LocalWorkspaces
from sessionguard.workspaces.s3.addresses import place_id
from sessionguard.workspaces.s3.settings import Settings
from tests.guard.clock import Clock
from tests.guard.watching import WatchedStore

IDLE = timedelta(hours=2)
Open = Callable[..., SessionGuard]


@pytest.fixture
def open_guard(store: WatchedStore, clock: Clock) -> Iterator[Open]:
    """Opens guards of one fleet, each as another process would."""
    opened = []

    def open_guard(place: Any = None, **options: Any) -> SessionGuard:
        opened.append(SessionGuard(store, place, clock=clock, sweep_interval=None, **options))
        return opened[-1]

    yield open_guard
    for guard in opened:
        guard.close()


def background_pass(guard: SessionGuard) -> None:
    """Do what the thread of the guard does at each interval."""
    assert _background_pass(weakref.ref(guard))()


def with_files(guard: SessionGuard, count: int = 1) -> list[str]:
    """Open so many sessions with a file each, and give their ids."""
    ids = []
    for _ in range(count):
        session = guard.create("ada")
        with guard.workspace(session) as files:
            files.write("a.bin", b"x")
        ids.append(session.id)
    return ids


def left(root: Path) -> int:
    """Count the files below a root."""
    return len(list(root.rglob("a.bin")))


def turns(store: WatchedStore) -> dict[str, tuple[str, int, int]]:
    """Give who has which turn."""
    found: dict[str, tuple[str, int, int]] = store.inner._turns._turns
    return found


@pytest.mark.parametrize("leader_has", [False, True])
def test_who_has_a_place_removes_what_another_ended(
    open_guard: Open, clock: Clock, tmp_path: Path, leader_has: bool
) -> None:
    """Where a process without files, or with those of another machine, leads, nobody's files stay."""
    leader = open_guard(tmp_path / "leader" if leader_has else None)
    places = [tmp_path / "one", tmp_path / "two"]
    others = [open_guard(place) for place in places]
    background_pass(leader)
    ids = [session_id for guard in others for session_id in with_files(guard, 3)]
    clock.advance(IDLE)
    for guard in (leader, *others):
        background_pass(guard)
    assert {leader.get(session_id).reason for session_id in ids} == {"expired"}  # type: ignore[union-attr]
    assert [left(place) for place in places] == [0, 0]


def test_one_looks_after_a_place(open_guard: Open, store: WatchedStore, clock: Clock, tmp_path: Path) -> None:
    """Many processes of one machine cost it no more than one; who is closed is followed at once."""
    first, second = (open_guard(tmp_path / "work") for _ in range(2))
    looks: list[SessionGuard] = []
    for guard in (first, second):
        original = guard._parts.files.candidates  # type: ignore[union-attr]

        def candidates(*arguments: Any, guard: SessionGuard = guard, original: Any = original) -> Any:
            looks.append(guard)
            return original(*arguments)

        guard._parts.files.candidates = candidates  # type: ignore[union-attr, method-assign]
    for _ in range(3):
        for guard in (first, second):
            background_pass(guard)
        clock.advance(seconds=60)
    assert looks == [first] * 3
    assert not any(name.startswith(RUN) for name in turns(store))
    first.close()
    background_pass(second)
    assert looks[3:] == [second]


def test_a_braked_fleet_removes_no_files(open_guard: Open, clock: Clock, tmp_path: Path) -> None:
    """Who does not lead asks the brake, too, before it looks for garbage."""
    leader, other = open_guard(), open_guard(tmp_path / "work")
    background_pass(leader)
    (session_id,) = with_files(other)
    for _ in range(100):
        leader.create("bob")
    leader.end(leader.get(session_id))  # type: ignore[arg-type]
    clock.advance(days=3650)
    for guard in (leader, other):
        background_pass(guard)
    assert left(tmp_path / "work") == 1
    leader.sweep(force=True)
    background_pass(other)
    assert left(tmp_path / "work") == 0


def test_a_command_looks_at_its_own_place_whoever_sweeps(
    open_guard: Open, store: WatchedStore, clock: Clock, tmp_path: Path
) -> None:
    """A cron job on each machine removes the files there, also of what a job elsewhere is ending at this moment."""
    elsewhere, here = open_guard(), open_guard(tmp_path / "work")
    with_files(here, 3)
    clock.advance(IDLE)
    elsewhere.sweep()
    store.inner.take_turn(TakeTurn(RUN, "elsewhere", clock.now, 60_000_000))
    report = here.sweep(in_turn=True)
    assert report == SweepReport(workspaces_removed=3, bytes_freed=3, yielded=True)
    assert left(tmp_path / "work") == 0


def test_two_that_look_after_one_place_harm_nobody(
    open_guard: Open, store: WatchedStore, clock: Clock, tmp_path: Path
) -> None:
    """T64: who stood still past its turn goes on beside the next; what lives stays, what ended is counted once."""
    slow, other = (open_guard(tmp_path / "work") for _ in range(2))
    with_files(slow, 5)
    clock.advance(IDLE)
    living = with_files(slow, 2)
    open_guard().sweep()
    reports: list[SweepReport] = []

    def stand_still(command: Any, ask: Callable[[], Any]) -> Any:
        if command.verb == "get" and not reports:
            store.around = None
            clock.advance(seconds=RUN_SECONDS)
            reports.append(other.sweep(in_turn=True))
        return ask()

    store.around = stand_still
    resumed = slow.sweep(in_turn=True)
    assert [reports[0].workspaces_removed, resumed.workspaces_removed] == [5, 0]
    assert left(tmp_path / "work") == len(living)


def test_a_place_is_named_alike_by_all_who_have_it(tmp_path: Path) -> None:
    """The directory itself, by whatever path it is reached; every other directory and deployment has another name."""

    def named(root: Path, deployment_id: str = "one") -> str | None:
        workspaces = LocalWorkspaces(root)
        workspaces.open(deployment_id)
        return workspaces.place_id()

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "way").symlink_to(tmp_path)
    name = named(tmp_path / "work")
    assert name is not None
    assert named(tmp_path / "way" / "work") == name
    assert len({name, named(tmp_path / "work", "two"), named(tmp_path / "elsewhere")}) == 3
    assert str(tmp_path) not in name


@pytest.mark.parametrize(
    "endpoint, is_shared",
    [
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://10.0.0.7:9000", True),
        ("http://127.0.0.1:9000", False),
        ("http://[::1]:9000", False),
        ("http://localhost:9000", False),
        ("http://minio:9000", False),
    ],
)
def test_a_bucket_is_one_place_unless_its_address_is_the_machines_own(
    endpoint: str, is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on each machine, or beside each container, has other files under the same address."""
    name = place_id(endpoint, Settings(bucket="sessions", prefix="app/"))
    assert place_id(endpoint + "/", Settings(bucket="sessions", prefix="app/")) == name
    assert place_id(endpoint, Settings(bucket="sessions", prefix="other/")) != name
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert (place_id(endpoint, Settings(bucket="sessions", prefix="app/")) == name) == is_shared


class SlowWorkspaces(LocalWorkspaces):
    """Removing takes as long as `pass_time` lets pass."""

    def __init__(self, root: Path, pass_time: Callable[[], object]) -> None:
        super().__init__(root)
        self.pass_time = pass_time
        self.removals = 0

    def remove(self, session_id: str) -> Any:
        """Let time pass, then remove."""
        self.removals += 1
        self.pass_time()
        return super().remove(session_id)


def test_closing_waits_for_one_removal(open_guard: Open, clock: Clock, tmp_path: Path) -> None:
    """A pass that is told to stop ends no more and removes no more; what it ended is told, and the next pass heals."""
    closing: list[SessionGuard] = []

    def close_soon() -> None:
        for guard in closing:
            guard._parts.is_closed = True

    files = SlowWorkspaces(tmp_path / "work", close_soon)
    guard = open_guard(files, brake=None)
    with_files(guard, 5)
    clock.advance(seconds=1)
    for _ in range(205):
        guard.create("ada")
    told: list[Removed | None] = []
    guard.on_end(lambda session: told.append(session.removed))
    clock.advance(IDLE)
    closing.append(guard)
    _background_pass(weakref.ref(guard))()
    assert files.removals == 1
    assert len(told) == 200
    assert [removed for removed in told if removed is not None and not removed.deferred] == [Removed(1, 1)]
    follower = open_guard(tmp_path / "work")
    clock.advance(seconds=RUN_SECONDS * 5)
    background_pass(follower)
    assert left(tmp_path / "work") == 0


def test_closing_waits_for_one_removal_of_garbage(open_guard: Open, clock: Clock, tmp_path: Path) -> None:
    """The same while garbage is removed."""
    closing: list[SessionGuard] = []

    def close_soon() -> None:
        for guard in closing:
            guard._parts.is_closed = True

    files = SlowWorkspaces(tmp_path / "work", close_soon)
    guard, elsewhere = open_guard(files), open_guard()
    with_files(guard, 5)
    clock.advance(IDLE)
    elsewhere.sweep()
    closing.append(guard)
    _background_pass(weakref.ref(guard))()
    assert files.removals == 1
    assert left(tmp_path / "work") == 4


@pytest.mark.parametrize("is_garbage", [False, True])
def test_a_turn_outlives_slow_removals(
    open_guard: Open, store: WatchedStore, clock: Clock, tmp_path: Path, is_garbage: bool
) -> None:
    """It is kept by time within a batch, so that no other begins beside."""
    monotonic = 0.0

    def pass_time() -> None:
        nonlocal monotonic
        monotonic += RUN_SECONDS / 3
        clock.advance(seconds=RUN_SECONDS / 3)
        taken.append(store.inner.take_turn(TakeTurn(name[0], "other", clock.now, 1)).value)

    taken: list[str] = []
    name = [RUN]
    files = SlowWorkspaces(tmp_path / "work", pass_time)
    guard = open_guard(files)
    object.__setattr__(guard._parts.setting, "monotonic", lambda: monotonic)
    with_files(guard, 9)
    clock.advance(IDLE)
    if is_garbage:
        open_guard().sweep()
        original = FindGarbage.apply

        def apply(command: FindGarbage, place: Any) -> Any:
            name[0] = next(turn for turn in turns(store) if turn.startswith(RUN))
            return original(command, place)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FindGarbage, "apply", apply)
            guard.sweep(in_turn=True)
    else:
        guard.sweep(in_turn=True)
    assert taken == ["conflict"] * 9
    assert left(tmp_path / "work") == 0
    assert LEAD not in turns(store)
