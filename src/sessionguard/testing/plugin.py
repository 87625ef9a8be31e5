"""The pytest plugin: fixtures, marks and options of the harness; loading it costs next to nothing.

It is active as soon as sessionguard is installed, so it must never disturb a project that does not use it: it imports
nothing but pytest until one of its fixtures or options is asked for.
"""

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sessionguard.testing.contracts.fixture import JudgeStore
    from sessionguard.testing.history.fixture import JudgedHistory
    from sessionguard.testing.profile import Profile
    from sessionguard.testing.schedule.clock import VirtualClock
    from sessionguard.testing.schedule.fixture import Interleave
    from sessionguard.testing.sweeps import InterruptReport, SweepReport
    from sessionguard.testing.sweeps.fixture import CancelSweep

pytest.register_assert_rewrite("sessionguard.testing.contracts")

_MARKERS = (
    "processes: starts several operating-system processes",
    "timing: compares durations measured in the same run",
    "schedules(number, seconds=None): how many schedules `interleave` may run for this test, and for how long",
    "replay(id, ...): schedules that went wrong once; `interleave` runs them before it searches",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--sg-profile`, and how races are searched."""
    group = parser.getgroup("sessionguard")
    group.addoption(
        "--sg-profile",
        choices=("ci", "deep"),
        default="ci",
        help="how often sessionguard's proofs are repeated: ci (every case, fewer rounds) or deep (the counts that "
        "the promises name; a check that gives up fails); default: ci",
    )
    group.addoption("--sg-seed", type=int, default=0, help="seed of ids, luck and random searches of schedules")
    group.addoption("--sg-schedules", type=int, help="how many schedules a search may run; default: by the profile")
    group.addoption("--sg-seconds", type=float, help="how long a search may take; default: by the profile")
    group.addoption(
        "--sg-replay",
        metavar="ID",
        type=_replay_id,
        help="run only the schedule, or the stop of a sweep, that a report printed",
    )
    group.addoption(
        "--sg-engine",
        metavar="ENGINE",
        type=_engine,
        help="where workers may be interrupted: at declared points (declared, the default), also where they reach for "
        "files, databases and Redis (io) or at every line of the test's module (lines) or of others "
        "(lines:shop.carts,shop.rows); or the event loop on which tasks run (asyncio, uvloop, trio) instead of a "
        "virtual one",
    )
    group.addoption(
        "--sg-artifacts", metavar="DIR", help="folder for what failed: races (HTML, JSON), histories (JSON lines)"
    )
    group.addoption("--sg-outcomes", metavar="FILE", help="file to which each search of schedules adds a line of JSON")


def _replay_id(text: str) -> str:
    from sessionguard.testing.replaying import ReplayKind, kind_of

    try:
        kind = kind_of(text)
        match kind:
            case ReplayKind.SCHEDULE:
                from sessionguard.testing.schedule.replay import ReplayId

                ReplayId.parse(text)
            case ReplayKind.CANCEL:
                from sessionguard.testing.faults import CancelPoint

                CancelPoint.parse(text)
            case ReplayKind.INTERRUPT:
                from sessionguard.testing.sweeps import InterruptPoint

                InterruptPoint.parse(text)
            case ReplayKind.KILL | ReplayKind.JUMP | ReplayKind.FORK:
                from sessionguard.testing.sweeps.orders import Strike

                Strike.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def _engine(text: str) -> str:
    from sessionguard.testing.schedule.engine_option import EngineOption

    try:
        EngineOption.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    # As text, because pytest-xdist hands it on to other processes.
    return text


def pytest_configure(config: pytest.Config) -> None:
    """Make the kit's markers known, so that strict projects need not list them."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if _is_asked_for(config):
        from sessionguard.testing.running_profile import begin_run

        begin_run(config.getoption("--sg-profile"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the profile of a run around this one as it was."""
    if _is_asked_for(config):
        from sessionguard.testing.running_profile import end_run

        end_run()


def _is_asked_for(config: pytest.Config) -> bool:
    return bool(config.getoption("--sg-profile") != "ci")


def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    """Hide the frames of asyncio between a test and what its sweep raised, as those of the harness are."""
    if call.excinfo is None or "cancel_sweep" not in getattr(item, "fixturenames", ()):
        return
    from sessionguard.testing.own_code import without_asyncio

    error = call.excinfo.value
    call.excinfo = pytest.ExceptionInfo.from_exception(error.with_traceback(without_asyncio(error.__traceback__)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which fixtures did not follow `--sg-replay`, and what cases of the kit that passed could not see."""
    _tell_what_was_not_followed(terminalreporter)
    remarks = [
        str(value)
        for report in terminalreporter.stats.get("passed", ())
        for name, value in getattr(report, "user_properties", ())
        if name == "sessionguard_remark"
    ]
    if remarks:
        from sessionguard.testing.contracts.remarks import told

        terminalreporter.write_sep("=", "sessionguard")
        for line in told(remarks):
            terminalreporter.write_line(line)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Tell sessions and replies that were to be equal by what differs; their whole text would be cut before that."""
    # Nothing of ours can be among them as long as this was never imported.
    if "sessionguard.testing.contracts.cases" not in sys.modules:
        return None
    from sessionguard.testing.contracts.explaining import explained

    return explained(op, left, right)


@pytest.fixture(scope="session")
def sg_profile(request: pytest.FixtureRequest) -> "Profile":
    """The counts of this run: rounds, callers, processes, examples, as a frozen value."""
    from sessionguard.testing.profile import PROFILES

    return PROFILES[request.config.getoption("--sg-profile")]


@pytest.fixture
def interleave(request: pytest.FixtureRequest) -> Iterator["Interleave"]:
    """Race a scenario in many orders; what goes wrong in one fails the test, shrunk, with the id to repeat it."""
    from sessionguard.testing.schedule.fixture import of_test

    asked = of_test(request.config, request.node)
    yield asked
    asked.finish()


@pytest.fixture
def history(request: pytest.FixtureRequest) -> "JudgedHistory":
    """Record what clients do at the same time; `history.require_legal(model)` fails the test if nothing explains it."""
    from sessionguard.testing.history.fixture import of_test

    return of_test(request.config, request.node)


@pytest.fixture
def virtual_clock() -> "VirtualClock":
    """Give a clock that moves only when it is told to: `clock=virtual_clock` for stores and guards."""
    from sessionguard.testing.schedule.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def store_contract(request: pytest.FixtureRequest) -> "JudgeStore":
    """Put a store to the contract kit within one test, which fails with a report of all verdicts."""
    from sessionguard.testing.contracts.fixture import JudgeStore
    from sessionguard.testing.replaying import ReplayKind, replay_for

    seed, replay = request.config.getoption("--sg-seed"), replay_for(ReplayKind.SCHEDULE, request.node)
    return JudgeStore(request.getfixturevalue("tmp_path"), request.getfixturevalue("sg_profile"), seed, replay)


@pytest.fixture
def cancel_sweep(request: pytest.FixtureRequest) -> Iterator["CancelSweep"]:
    """Cancel an async operation at each of its awaits; a fault that is left behind fails the test, with its id.

    So does a call that is not awaited.
    """
    from sessionguard.testing.sweeps.fixture import cancel_sweep_of

    asked = cancel_sweep_of(request.node)
    yield asked
    asked.finish()


@pytest.fixture
def interrupt_sweep(request: pytest.FixtureRequest) -> "Callable[..., InterruptReport]":
    """Raise an error at each stop of a blocking operation; what it leaves behind fails the test, with its id."""
    from sessionguard.testing.sweeps.fixture import sweep_of

    return sweep_of(request.node, "interrupt_sweep")


@pytest.fixture
def kill_sweep(request: pytest.FixtureRequest) -> "Callable[..., SweepReport]":
    """Kill or stop an operation at each of its stops; what survivors cannot live with fails the test, with its id."""
    from sessionguard.testing.sweeps.fixture import sweep_of

    return sweep_of(request.node, "kill_sweep")


@pytest.fixture
def jump_sweep(request: pytest.FixtureRequest) -> "Callable[..., SweepReport]":
    """Let the clock jump at each stop of an operation; what is wrong then fails the test, with its id."""
    from sessionguard.testing.sweeps.fixture import sweep_of

    return sweep_of(request.node, "jump_sweep")


@pytest.fixture
def fork_sweep(request: pytest.FixtureRequest) -> "Callable[..., SweepReport]":
    """Fork at each stop of an operation; what parent or child cannot live with fails the test, with its id."""
    from sessionguard.testing.sweeps.fixture import sweep_of

    return sweep_of(request.node, "fork_sweep")


def _tell_what_was_not_followed(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which fixtures did not follow the id of `--sg-replay`, because it is meant for others."""
    if terminalreporter.config.getoption("--sg-replay") is None:
        return
    from sessionguard.testing.replaying import NOTE

    reports = [report for kind in ("passed", "failed", "skipped") for report in terminalreporter.getreports(kind)]
    sections = [section for report in reports for section in report.sections]
    for note in sorted({text for title, text in sections if NOTE in title}):
        terminalreporter.write_line(note)
