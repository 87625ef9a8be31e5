"""Repeating what a store could not answer for the moment: which errors, for how long, what is reported in the end."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sessionguard.core.commands import Get, Identify, Pause
from sessionguard.core.driving import Flow, perform, run, run_async
from sessionguard.core.file_commands import RemoveWorkspace
from sessionguard.core.repeating import Patience, Repetitions
from sessionguard.errors import (
    IdentityMismatchError,
    MisuseError,
    StoreDataError,
    StoreError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from tests.core.making import record
from tests.core.scripting import AsyncScriptedStore, ScriptedStore, recorded

ID = "ab" + "0" * 32
GET = Get(ID, None)

Drive = Callable[..., Any]


def outage(message: str = "gone", *, transient: bool = True) -> StoreUnavailableError:
    """Give an outage of its own."""
    return StoreUnavailableError("scripted", "get", message, transient=transient)


class Time:
    """A monotonic clock that only pauses and scripts move, and the patience of a guard that goes by it."""

    def __init__(self, seconds: float = 5.0, fraction: int = 0x80) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self.told: list[tuple[Any, StoreUnavailableError]] = []
        self.patience = Patience(
            seconds, lambda: self.now, lambda count: bytes([fraction]) * count, lambda *what: self.told.append(what)
        )

    def pass_by(self, seconds: float) -> None:
        """Let this much time pass."""
        self.pauses.append(seconds)
        self.now += seconds

    def taking(self, seconds: float, reply: Any) -> Callable[[Any], Any]:
        """Give a line of a script whose answer takes this long."""

        def answer(_: Any) -> Any:
            self.now += seconds
            if isinstance(reply, BaseException):
                raise reply
            return reply

        return answer


def run_blocking(flow: Flow[Any], store: ScriptedStore, time: Time, files: Any = None) -> Any:
    """Run a flow by the blocking driver."""
    return run(flow, store, files, time.pass_by, time.patience)


def run_awaited(flow: Flow[Any], store: ScriptedStore, time: Time, files: Any = None) -> Any:
    """Run the same flow by the async driver, over an async store with the same script."""
    twin = AsyncScriptedStore(*store.script)

    async def pause(seconds: float) -> None:
        time.pass_by(seconds)

    async def scene() -> Any:
        try:
            return await run_async(flow, twin, files, pause, time.patience)
        finally:
            store.asked, store.distrust_count = twin.asked, twin.distrust_count

    return asyncio.run(scene())


@pytest.fixture(params=[run_blocking, run_awaited], ids=["blocking", "async"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """Either driver."""
    return request.param  # type: ignore[no-any-return]


def test_the_same_command_is_asked_again_until_it_is_answered(drive: Drive) -> None:
    """The very object, so with its operation id; the flow sees the answer alone, and each repetition is told once."""
    time, told, errors = Time(), recorded(GET, Identify()), [outage("a"), outage("b"), outage("c")]
    store = ScriptedStore(*errors, record(), "name")
    assert drive(told.flow(), store, time) == "result"
    assert [command is GET for command in store.asked] == [True] * 4 + [False]
    assert (told.replies, told.thrown) == ([record(), "name"], [])
    assert time.told == [(GET, error) for error in errors]
    assert len(time.pauses) == 3


def test_what_is_answered_at_once_is_asked_once(drive: Drive) -> None:
    """Without an outage nothing is told and nobody waits."""
    time, store = Time(), ScriptedStore(record())
    drive(recorded(GET).flow(), store, time)
    assert (len(store.asked), time.told, time.pauses) == (1, [], [])


@pytest.mark.parametrize(
    "error",
    [
        outage(transient=False),
        StoreTimeoutError("scripted", "get", "busy"),
        StoreDataError("scripted", "get", "damaged"),
        OSError(5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_only_a_transient_outage_is_repeated(drive: Drive, error: Exception) -> None:
    """Anything else is raised at once, whether it comes first or after an outage, and the flow sees it."""
    for before in ([], [outage()]):
        if before and isinstance(error, StoreError) and not isinstance(error, StoreUnavailableError):
            continue
        time, told, store = Time(), recorded(GET), ScriptedStore(*before, error, record())
        with pytest.raises(type(error)) as caught:
            drive(told.flow(), store, time)
        assert caught.value is error
        assert (told.thrown, told.closed) == ([error], [True])
        assert len(store.asked) == len(time.told) + 1 == len(before) + 1


@pytest.mark.parametrize(
    "busy",
    [
        StoreTimeoutError("scripted", "get", "busy"),
        StoreDataError("scripted", "get", "damaged"),
        MisuseError("the store is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_hinders_a_repetition_leaves_the_outcome_unknown(drive: Drive, busy: Exception) -> None:
    """It says that nothing was done this time; of the first try that is not known, so its error is raised."""
    time, first = Time(), outage("first")
    told, store = recorded(GET), ScriptedStore(first, outage("second"), busy, record())
    with pytest.raises(StoreUnavailableError) as caught:
        drive(told.flow(), store, time)
    assert caught.value is first
    assert caught.value.__cause__ is busy
    assert told.thrown == [first]
    assert len(store.asked) == 3


@pytest.mark.parametrize("fraction", [0x00, 0x80, 0xFF], ids=["never waits", "waits half", "waits long"])
def test_patience_ends(drive: Drive, fraction: int) -> None:
    """An outage that lasts is raised as it was last seen, before patience is over, however long each wait is."""
    time = Time(seconds=2.0, fraction=fraction)
    errors: list[StoreUnavailableError] = []

    def down(_: Any) -> Any:
        errors.append(outage(str(len(errors))))
        time.now += 0.01
        raise errors[-1]

    store = ScriptedStore(*[down] * 1000)
    with pytest.raises(StoreUnavailableError) as caught:
        drive(recorded(GET).flow(), store, time)
    assert caught.value is errors[-1]
    assert len(errors) == len(time.told) + 1 > 5
    assert 1.7 < time.now - 1000.0 <= 2.0 + 0.01
    # No wait is begun that would end too late.
    assert sum(time.pauses) < 2.0


def test_patience_is_counted_for_each_command(drive: Drive) -> None:
    """Whoever has waited long for a lock, or swept for long, has as much patience for the next question as ever."""
    time = Time(seconds=5.0)
    store = ScriptedStore(time.taking(2.5, "name"), *[time.taking(0.1, outage())] * 100)
    with pytest.raises(StoreUnavailableError):
        drive(recorded(Identify(), Pause(20.0), GET).flow(), store, time)
    assert 22.5 + 4.9 < time.now - 1000.0 <= 22.5 + 5.0 + 0.1


def test_patience_is_counted_from_when_the_command_was_first_asked(drive: Drive) -> None:
    """A first try that takes long before it fails is taken off."""
    time = Time(seconds=5.0)
    store = ScriptedStore(time.taking(4.0, outage()), *[time.taking(0.1, outage())] * 100)
    with pytest.raises(StoreUnavailableError):
        drive(recorded(GET).flow(), store, time)
    assert 4.9 < time.now - 1000.0 <= 5.0 + 0.1


def test_a_wait_that_would_end_too_late_is_not_begun(drive: Drive) -> None:
    """With a millisecond left, and a wait of a millisecond, the error is raised at once."""
    time, error = Time(seconds=1.0), outage()
    store = ScriptedStore(time.taking(0.999, error), record())
    with pytest.raises(StoreUnavailableError):
        drive(recorded(GET).flow(), store, time)
    assert (time.pauses, time.told) == ([], [])


def test_without_patience_nothing_is_repeated(drive: Drive) -> None:
    """Zero seconds are none; and a driver without patience, or without a way to wait, does not repeat."""
    time, store = Time(seconds=0.0), ScriptedStore(outage(), record())
    with pytest.raises(StoreUnavailableError):
        drive(recorded(GET).flow(), store, time)
    assert (len(store.asked), time.told, time.pauses) == (1, [], [])
    for pause, patience in ((None, time.patience), (time.pass_by, None)):
        store = ScriptedStore(outage(), record())
        with pytest.raises(StoreUnavailableError):
            run(recorded(GET).flow(), store, None, pause, patience)
        assert len(store.asked) == 1


def test_waits_grow_for_each_command_anew(drive: Drive) -> None:
    """Full jitter over 2, 4, 8 ms and so on, up to a quarter of a second; the next command begins with 2 ms again."""
    time = Time(seconds=60.0)
    store = ScriptedStore(*[outage()] * 10, record(), outage(), record())
    drive(recorded(GET, GET).flow(), store, time)
    *first, again = (round(pause, 3) for pause in time.pauses)
    assert first == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.125, 0.125]
    assert again == 0.001


def test_the_answer_to_a_repetition_is_verified_like_any_other(drive: Drive) -> None:
    """A reply about another session reaches nobody, and the store is distrusted."""
    store = ScriptedStore(outage(), record(id="cd" * 17))
    with pytest.raises(IdentityMismatchError):
        drive(recorded(GET).flow(), store, Time())
    assert store.distrust_count == 1


def test_a_store_that_finds_the_mismatch_itself_is_distrusted_too(drive: Drive) -> None:
    """What a store raises as it is asked again is no reason to ask once more."""
    store = ScriptedStore(outage(), IdentityMismatchError("scripted", "get", "id"), record())
    with pytest.raises(IdentityMismatchError):
        drive(recorded(GET).flow(), store, Time())
    assert (store.distrust_count, len(store.asked)) == (1, 2)


def test_a_flow_may_catch_what_was_repeated_in_vain(drive: Drive) -> None:
    """It is thrown in once, where the flow waits, and what the flow asks next has what is left of the patience."""
    time, told = Time(seconds=0.5), recorded(GET, Identify())
    errors = [outage(str(number)) for number in range(100)]
    store = ScriptedStore(*[time.taking(0.1, error) for error in errors[:5]], "name")
    assert drive(told.flow(catches=True), store, time) == "result"
    assert told.replies == ["name"]
    assert len(told.thrown) == 1


def test_files_are_not_asked_again(drive: Drive) -> None:
    """Only a store knows a repetition again; an outage that workspaces report is raised."""

    class Files:
        asked = 0

        def remove(self, session_id: str) -> Any:
            Files.asked += 1
            raise outage()

    time = Time()
    with pytest.raises(StoreUnavailableError):
        drive(recorded(RemoveWorkspace(ID)).flow(), ScriptedStore(), time, Files())
    assert (Files.asked, time.told) == (1, [])


def test_interruption_while_waiting_goes_through(drive: Drive) -> None:
    """A signal that strikes in the pause reaches the flow and the caller; nothing is asked any more."""
    time, told, store = Time(), recorded(GET, Identify()), ScriptedStore(outage(), record(), "name")

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    time.pass_by = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        drive(told.flow(), store, time)
    assert [type(error) for error in told.thrown] == [KeyboardInterrupt]
    assert (store.asked, told.closed) == ([GET], [True])


def test_cancellation_while_waiting_goes_through() -> None:
    """The task ends as cancelled at once, the flow learns of it where it waits, and nothing is asked any more."""
    told, store, time = recorded(GET), AsyncScriptedStore(outage(), record()), Time(fraction=0xFF)
    waiting: list[float] = []

    async def scene() -> None:
        begun = asyncio.Event()

        async def pause(seconds: float) -> None:
            waiting.append(seconds)
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(run_async(told.flow(), store, None, pause, time.patience))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(scene())
    assert len(waiting) == 1
    assert store.asked == [GET]
    assert [type(error) for error in told.thrown] == [asyncio.CancelledError]
    assert told.closed == [True]


def test_who_is_told_is_told_before_the_wait() -> None:
    """So that a program can say that it waits while it does."""
    order: list[str] = []
    patience = Patience(5.0, lambda: 0.0, lambda count: bytes(count), lambda *_: order.append("told"))
    repetitions = Repetitions(patience, 0.0, GET, outage())
    run(recorded(GET).flow(), ScriptedStore(outage(), record()), None, lambda _: order.append("waited"), patience)
    assert order == ["told", "waited"]
    assert repetitions.pause_after(outage()) == 0.0


class Held:
    """Stands for what a store has in hand while it asks, such as a connection."""


def forget_blocking(store: ScriptedStore, time: Time) -> None:
    """Run a flow, and forget what it raised."""
    with contextlib.suppress(StoreError):
        run(perform(GET), store, None, time.pass_by, time.patience)


def forget_awaited(store: ScriptedStore, time: Time) -> None:
    """The same in a loop, which would keep what leaves it."""

    async def pause(seconds: float) -> None:
        time.pass_by(seconds)

    async def scene() -> None:
        with contextlib.suppress(StoreError):
            await run_async(perform(GET), AsyncScriptedStore(*store.script), None, pause, time.patience)

    asyncio.run(scene())


@pytest.mark.parametrize("forget", [forget_blocking, forget_awaited], ids=["blocking", "async"])
@pytest.mark.parametrize("ending", ["answered", "in vain", "hindered"])
def test_errors_keep_nothing_alive(forget: Drive, ending: str) -> None:
    """Once the caller has forgotten the error of a call, whatever the store had in hand is gone, without collection."""
    time, held = Time(seconds=1.0), []

    def fail(_: Any, error: type[StoreError] | None = None) -> Any:
        connection = Held()
        held.append(weakref.ref(connection))
        raise outage() if error is None else error("scripted", "get", "busy")

    endings = {"answered": None, "in vain": fail, "hindered": partial(fail, error=StoreTimeoutError)}
    script = [fail, fail, endings[ending]] if ending != "in vain" else [fail] * 100
    gc.disable()
    try:
        forget(ScriptedStore(*script), time)
        time.told.clear()
        assert len(held) > 1
        assert [one for one in held if one() is not None] == []
    finally:
        gc.enable()
