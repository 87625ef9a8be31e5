"""The blocking twin: an exception is raised in the thread at every stop; broken clients are found and named."""

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionguard.core import points
from sessionguard.core.points import point
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.sweeps import (
    CrossedReplyError,
    InterruptReport,
    LeakError,
    Other,
    SweepError,
    interrupt_sweep,
    interrupting,
)
from tests.testing.sweeps.clients import Client, slow_server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a slow server."""
    with slow_server() as port:
        yield port


def swept(client: Client, **settings: Any) -> InterruptReport:
    """Sweep alice's question, with a connection that is there and with one that is not."""

    def ask_twice() -> None:
        client.get("alice")
        client.close()
        client.get("alice")

    others = [Other("bob", lambda: client.get("bob"), "BOB"), Other("carol", lambda: client.get("carol"), "CAROL")]
    try:
        return interrupt_sweep(ask_twice, others, **settings)
    finally:
        client.close()


@pytest.mark.parametrize("stops", ["declared", "io", f"calls:{Client.__module__}"])
def test_a_right_client_is_well_after_every_interruption(port: int, stops: str) -> None:
    """Wherever stops come from, every one is hit, and nothing is wrong after any."""
    report = swept(Client(port), stops=stops)
    assert report.points >= 5
    if stops == "declared":
        assert [stop.id for stop in report.stops] == ["send#1", "receive#1", "connect#1", "send#2", "receive#2"]
        # Interrupted a second time when it has just closed.
        assert report.pairs == 5


@pytest.mark.parametrize("stops, where", [
    ("declared", "stop 2 (before receive#1 server)"),
    ("io", "(after sendall#1 (Client._exchange:"),
    (f"calls:{Client.__module__}", "(after sendall#1 (Client._exchange:"),
])  # fmt: skip
def test_a_foreign_reply_is_found_and_repeated(port: int, stops: str, where: str) -> None:
    """A client that forgets to close when interrupted gives bob what alice asked for; the report says where."""
    with pytest.raises(CrossedReplyError, match=r"bob read 'ALICE' instead of 'BOB'") as caught:
        swept(Client(port, forgets_to_close=True), stops=stops)
    told, how = caught.value.__notes__
    assert where in told
    only = how.partition("only='")[2].strip("'")
    # By label and occurrence, which stay the same where a stop more or less comes before.
    assert only == ("raise@receive#1" if stops == "declared" else "raise@sendall#1")
    with pytest.raises(CrossedReplyError, match="ALICE"):
        swept(Client(port, forgets_to_close=True), stops=stops, only=only)


def test_a_lock_that_stays_held_is_found_with_who_waits(port: int) -> None:
    """A lock that the interrupted thread never gave back is seen because others are asked in another thread."""
    with pytest.raises(SweepError, match=r"(?s)bob was not answered: .*in get\n.*_lock.acquire"):
        swept(Client(port, forgets_to_unlock=True), patience_seconds=0.2)


@pytest.mark.parametrize("stops", ["declared", "io"])
def test_a_sweep_that_gives_up_leaves_nothing_installed(stops: str, tmp_path: Path) -> None:
    """An operation that hangs is left behind, but its points and calls are watched no longer, nor those of others."""
    go_on, went_on = threading.Event(), threading.Event()
    others = [Other("bob", lambda: "BOB", "BOB"), Other("carol", lambda: "CAROL", "CAROL")]

    def hang() -> None:
        try:
            point("here", "here", "w")
            os.chmod(tmp_path, 0o700)
        except BaseException:
            go_on.wait()
            point("there", "there", "w")
            went_on.set()
            raise

    with pytest.raises(SweepError, match=r"still not over after 0.2 s"):
        interrupt_sweep(hang, others, stops=stops, patience_seconds=0.2, descriptors=None)
    assert (points._hook, points._async_hook, threading.getprofile()) == (None, None, None)
    # Others may be installed when it ends at last.
    with points.installed(lambda *said: None):
        ours = points._hook
        go_on.set()
        assert went_on.wait(5)
        assert points._hook is ours


def test_an_operation_that_does_less_the_second_time_is_told() -> None:
    """What is made once is interrupted nowhere in its making; with `prepare` it is made anew for every run."""
    made = set[str]()
    others = [Other("bob", lambda: "BOB", "BOB"), Other("carol", lambda: "CAROL", "CAROL")]

    def make() -> None:
        point("look", "here", "r")
        if not made:
            point("make", "here", "w")
            point("tell", "here", "w")
            made.add("it")

    with pytest.raises(
        SweepError, match=r"came to 3 stops, and to 1 after it had been interrupted at stop 1.*prepare="
    ):
        interrupt_sweep(make, others)
    assert interrupt_sweep(make, others, prepare=made.clear).points == 3


def test_an_operation_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that has struck as often as it may fails: it has not seen the end."""
    monkeypatch.setattr(interrupting, "LIMIT", 10)
    others = [Other("bob", lambda: "BOB", "BOB"), Other("carol", lambda: "CAROL", "CAROL")]
    counts = itertools.count(1)

    def longer_each_time() -> None:
        for _ in range(next(counts)):
            point("here", "here", "w")

    with pytest.raises(SweepError, match="after 10 interruptions there is still another stop"):
        interrupt_sweep(longer_each_time, others)


def test_a_swallowed_interruption_and_another_error_are_found() -> None:
    """Whoever goes on is named, and whoever raises what is not allowed; a refusal may be allowed."""
    others = [Other("bob", lambda: "BOB", "BOB"), Other("carol", lambda: "CAROL", "CAROL")]

    def swallow() -> None:
        try:
            point("here", "here", "w")
        except BaseException:
            return

    def translate() -> None:
        try:
            point("here", "here", "w")
        except BaseException as error:
            raise LookupError("gone") from error

    with pytest.raises(SweepError, match=r"stop 1 \(before here#1 here\), it returned as if nothing had happened"):
        interrupt_sweep(swallow, others)
    with pytest.raises(SweepError, match=r"it raised LookupError: gone"):
        interrupt_sweep(translate, others)
    assert interrupt_sweep(translate, others, refusals=(LookupError,)).points == 1


def test_a_descriptor_that_stays_open_is_found() -> None:
    """What is not closed is seen."""
    files = []

    def operation() -> None:
        files.append(open(__file__))  # noqa: SIM115
        point("here", "here", "w")
        files.pop().close()

    others = [Other("bob", lambda: "BOB", "BOB"), Other("carol", lambda: "CAROL", "CAROL")]
    try:
        with pytest.raises(LeakError, match="open descriptors"):
            interrupt_sweep(operation, others, settle_seconds=0.05)
    finally:
        files[0].close()


def test_what_has_no_stop_or_no_such_one_is_told() -> None:
    """An operation without stops proves nothing; an id that is none is refused."""
    others = [Other("bob", lambda: "BOB", "BOB"), Other("carol", lambda: "CAROL", "CAROL")]
    with pytest.raises(SweepError, match=r'came to no stop; use stops="io"'):
        interrupt_sweep(lambda: None, others)
    with pytest.raises(SweepError, match="there is no point raise@2"):
        interrupt_sweep(lambda: point("here", "here", "w"), others, only="raise@2")
    with pytest.raises(InvalidArgumentError, match="after calls: use calls:<module>"):
        interrupt_sweep(lambda: None, others, stops="lines:json")
    with pytest.raises(InvalidArgumentError, match="raise@3"):
        interrupt_sweep(lambda: None, others, only="later")
