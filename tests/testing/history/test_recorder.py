"""The recorder: what threads, tasks and processes do, with the instants around each call."""

import asyncio
import itertools
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.history import History, Operation, merge
from sessionguard.testing.model import ModelStore
from tests.testing.history.simulated import DEPLOYMENT, simulated


def ticking() -> Callable[[], int]:
    """Give a clock that shows the next number whenever it is looked at."""
    return itertools.count(1).__next__


def test_a_call_is_noted_with_the_instants_around_it() -> None:
    """The clock is read before the call and after it, and so are the instants by which sessions are judged."""
    history = History(ticking(), instants=itertools.count(100, 100).__next__, instance=3)
    with history.record("a", "write", value=1) as operation:
        operation.ok("written")
    assert history.operations == (
        Operation("a", "write", {"value": 1}, 1, 2, "ok", "written", 3, clock_at_call=100, clock_at_ret=200),
    )


def test_what_a_call_comes_to_is_told_or_unknown() -> None:
    """An answer and a failure are told; what is raised or left without a word is info, and has no end."""
    history = History(ticking())
    with history.record("a", "write") as operation:
        operation.fail(TimeoutError("too late"))
    with history.record("a", "write"):
        pass
    with pytest.raises(KeyboardInterrupt), history.record("a", "write"):
        raise KeyboardInterrupt
    failed, left, raised = history.operations
    assert (failed.outcome, failed.result, failed.ret) == ("fail", "TimeoutError: too late", 2)
    assert (left.outcome, left.ret) == ("info", None)
    assert (raised.outcome, raised.ret, raised.result) == ("info", None, "KeyboardInterrupt: ")


def test_the_first_word_counts() -> None:
    """What is told later changes nothing."""
    history = History(ticking())
    with history.record("a", "read") as operation:
        operation.ok(1)
        operation.ok(2)
        operation.fail("it did not")
    assert [(each.outcome, each.result) for each in history.operations] == [("ok", 1)]


def test_a_client_that_does_not_know_goes_on_as_another() -> None:
    """After an unknown outcome its next call may overlap that one, so it counts as a new client."""
    history = History(ticking())
    for _ in range(2):
        with history.record("a", "write") as operation:
            operation.info("the connection was lost")
    with history.record("a", "read") as operation:
        operation.ok()
    assert [each.client for each in history.operations] == ["a", "a#2", "a#3"]


def test_what_is_under_way_is_unknown() -> None:
    """A history that is looked at early shows the open calls as info, and later as what they came to."""
    history = History(ticking())
    with history.record("a", "write") as operation:
        [open_call] = history.operations
        operation.ok(1)
    assert (open_call.outcome, open_call.ret) == ("info", None)
    assert [each.outcome for each in history.operations] == ["ok"]


def test_threads_lose_nothing() -> None:
    """Every call of every thread is there once, and ends after it began."""
    history = History()

    def work(name: str) -> None:
        for number in range(200):
            with history.record(name, "write", number=number) as operation:
                operation.ok(number)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    operations = history.operations
    assert len({(each.client, each.result) for each in operations}) == len(operations) == 1600
    assert all(each.ret is not None and each.call <= each.ret for each in operations)
    assert [each.call for each in operations] == sorted(each.call for each in operations)


def test_tasks_overlap_and_cancelled_ones_are_unknown() -> None:
    """Calls of tasks keep apart, and a cancelled one is info."""
    history = History(ticking())

    async def call(name: str, until: asyncio.Event) -> None:
        with history.record(name, "wait") as operation:
            await until.wait()
            operation.ok()

    async def play() -> None:
        event = asyncio.Event()
        tasks = [asyncio.create_task(call(name, event)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        event.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())
    assert [(each.client, each.outcome) for each in history.operations] == [("a", "info"), ("b", "ok"), ("c", "ok")]
    assert [each.call for each in history.operations] == [1, 2, 3]


def test_histories_cross_process_borders_and_are_merged() -> None:
    """A history can be pickled; merged ones hold all operations in the order of their calls."""
    clock = ticking()
    histories = [History(clock, instance=number) for number in range(2)]
    for history in (histories[0], histories[1], histories[0]):
        with history.record("a", "read") as operation:
            operation.ok()
    copies = [pickle.loads(pickle.dumps(history)) for history in histories]
    assert [each.instance for each in merge(copies).operations] == [0, 1, 0]
    assert merge(copies).operations == merge(histories).operations


def test_lines_give_back_what_was_written(tmp_path: Path) -> None:
    """Every command and every reply survives the way to a file and back, with its types."""
    history = History()
    history.add(simulated(ModelStore(), operations=200, unknown=0.05, seed=3))
    assert {each.name for each in history.operations} >= {"save", "rotate", "sweep", "page", "acquire_lock", "purge"}
    history.to_jsonl(tmp_path / "history.jsonl")
    assert History.from_jsonl(tmp_path / "history.jsonl").operations == history.operations


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text", b"\x00\xff", (1, [2]), {"a": (1,), 2: b""}])
def test_lines_keep_plain_values(tmp_path: Path, value: object) -> None:
    """What other models record survives as well."""
    history = History(ticking())
    with history.record("a", "write", value=value) as operation:
        operation.ok(value)
    history.to_jsonl(tmp_path / "history.jsonl")
    [back] = History.from_jsonl(tmp_path / "history.jsonl").operations
    assert repr((back.args["value"], back.result)) == repr((value, value))


def test_what_lines_cannot_hold_is_refused(tmp_path: Path) -> None:
    """An object of an unknown type is an error when it is written, not a loss when it is read."""
    history = History()
    with history.record("a", "write", value=object()) as operation:
        operation.ok()
    with pytest.raises(TypeError, match="cannot write down a object"):
        history.to_jsonl(tmp_path / "history.jsonl")


@pytest.mark.parametrize("line", ["{", "[]", '{"client": "a"}', '{"client": {"$": "Popen", "fields": {}}}'])
def test_other_files_are_refused(tmp_path: Path, line: str) -> None:
    """A file that is no history is told by its line; no type is made but those of commands and replies."""
    (tmp_path / "history.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match="line 2 is not an operation"):
        History.from_jsonl(tmp_path / "history.jsonl")


def test_a_journal_holds_each_call_before_it_is_made(tmp_path: Path) -> None:
    """While a call is under way the journal shows it as unknown, and then as what it came to, once."""
    history = History(ticking(), journal=tmp_path / "journal")
    with history.record("a", "write") as operation:
        [under_way] = History.from_journal(tmp_path / "journal").operations
        operation.ok(1)
    assert (under_way.outcome, under_way.call) == ("info", 1)
    assert History.from_journal(tmp_path / "journal").operations == history.operations


def test_a_journal_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A process that was killed in the middle of a line leaves all lines before it."""
    history = History(ticking(), journal=tmp_path / "journal")
    for number in range(2):
        with history.record("a", "write") as operation:
            operation.ok(number)
    whole = (tmp_path / "journal").read_bytes()
    (tmp_path / "journal").write_bytes(whole[:-5])
    first, second = History.from_journal(tmp_path / "journal").operations
    assert first == history.operations[0]
    assert second == evolve(history.operations[1], ret=None, outcome="info", result="it has not returned")


def test_a_history_is_shown_with_a_column_for_each_client() -> None:
    """Calls and returns stand in the order in which they happened; sessions have short names."""
    opened = Stage(DEPLOYMENT).get_or_create("ana", data={"a": 1})
    history = History(ticking())
    with history.record("left", "get_or_create", command=opened) as outer:
        with history.record("right", "read", key="x") as inner:
            inner.ok(7)
        outer.ok(opened.apply(ModelStore()))
    header, *lines = [[cell.strip() for cell in line.split("|")] for line in history.render().splitlines()]
    assert header == ["left", "right"]
    name = opened.new.id[-6:]
    assert [cells[0] for cells in lines] == [
        f"get_or_create({name} of 'ana' {{\"a\":1}})"[:34],
        ":",
        ":",
        f'=> {name} v1 g1 {{"a":1}}',
    ]
    assert [cells[1] for cells in lines[1:3]] == ["read(key='x')", "=> 7"]


def test_a_long_history_is_not_shown_whole() -> None:
    """A table that nobody would read is cut, and says so."""
    history = History()
    history.add(simulated(ModelStore(), operations=100))
    assert "operations are left out" in history.render()


def test_tokens_are_in_no_history() -> None:
    """Commands carry hashes alone, and what is shown of an operation cuts even those."""
    command = Stage(DEPLOYMENT).load(b"\xab" * 33)
    shown = str(Operation("a", "load", {"command": command}, 0, 1, result=c.Loaded(None, refusal="unknown")))
    assert shown == "a: load(token_hash=ababab) at 12:00:00.250001 => unknown"
