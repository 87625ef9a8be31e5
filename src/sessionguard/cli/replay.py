"""`sessionguard replay`: runs the schedule of a saved failure once more, and says whether it still fails."""

import json
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, frozen

from sessionguard.cli import status
from sessionguard.cli.failure import CommandError
from sessionguard.cli.output import print_json, visible
from sessionguard.cli.pytesting import Listener, NothingThereError, require_testing, run_pytest

if TYPE_CHECKING:
    import pytest

    from sessionguard.testing.schedule.reports.saved import SavedFailure

EPILOG = """\
FILE is what `pytest --sg-artifacts=DIR` left of a race: it holds the schedule, and the test in which it was found. Run
the command where pytest was run. For a scenario that is no test, name its function with --scenario.

examples:
  sessionguard replay reports/tests.test_carts.test_open.json
  sessionguard replay race.json --html race.html
  sessionguard replay race.json --scenario shop.races:two_carts

exit status: 0 the schedule goes well now, 1 it still fails, 2 it could not be tried or not be followed to its end,
130 interrupted
"""

FAILS: Final = "fails"
FAILS_OTHERWISE: Final = "fails in another way"
GOES_WELL: Final = "goes well"
NOT_FOLLOWED: Final = "not followed"

_STATUSES: Final = {
    FAILS: status.FAILED,
    FAILS_OTHERWISE: status.FAILED,
    GOES_WELL: status.OK,
    NOT_FOLLOWED: status.UNUSABLE,
}


@frozen
class Replayed:
    """What came of the schedule this time."""

    verdict: str
    file: str
    where: str
    """The test, or the function of the scenario."""
    replay_id: str
    report: str = ""
    """The table, if it failed."""

    def told(self) -> str:
        """Give the last line, for people."""
        match self.verdict:
            case "fails":
                return f"it still fails: {self.where}"
            case "fails in another way":
                return f"it fails, but not as it did when {self.file} was written: {self.where}"
            case "goes well":
                return f"it no longer fails: {self.where} goes well in this schedule; others may not, so run the test"
        return (
            f"nothing is shown: {self.where} did not fail, but the schedule could not be followed to its end, because "
            "what it names is not there any more; run the test, which searches anew"
        )


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=Path, help="the JSON file of a race, left by --sg-artifacts")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--test", metavar="ID", help="the test, if it was moved or renamed: tests/test_a.py::test_b")
    where.add_argument("--scenario", metavar="MODULE:FUNCTION", help="the scenario, if it is in no test")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the timeline as one page, if it still fails")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: Namespace) -> int:
    """Replay it and report; the status says whether it still fails."""
    require_testing()
    from sessionguard.testing.schedule.reports.saved import read_saved

    failure = read_saved(arguments.file)
    scenario = arguments.scenario or (None if arguments.test or failure.origin.test else failure.origin.scenario)
    test = arguments.test or failure.origin.test
    if scenario is not None:
        replayed = _replay_scenario(failure, scenario, arguments)
    elif test is not None:
        replayed = _replay_test(failure, test, arguments)
    else:
        raise CommandError(f"{visible(arguments.file)} does not say where its scenario is; give --test or --scenario")
    if arguments.json:
        print_json(asdict(replayed))
    else:
        print(replayed.report, end="\n\n" if replayed.report else "")
        print(visible(replayed.told()))
    return _STATUSES[replayed.verdict]


def _replay_scenario(failure: "SavedFailure", name: str, arguments: Namespace) -> Replayed:
    from sessionguard.testing.naming import load
    from sessionguard.testing.schedule import Interleaver

    sys.path.insert(0, str(Path.cwd()))
    scenario = load(name, "scenario")
    if not callable(scenario):
        raise CommandError(f"{visible(name)} is no function; a scenario is one, and takes the value that it sets up")
    search = Interleaver(lines=failure.origin.lines, loop=failure.origin.loop, io=failure.origin.io)
    outcome = search.run(scenario, replay=failure.replay_id)
    found = outcome.failure
    if found is not None and arguments.html:
        found.write_html(arguments.html)
    told: dict[str, Any] = {}
    if found is not None:
        told = {"reason": found.verdict.reason, "judge": found.verdict.judge}
    told |= {"followed": outcome.replay_is_faithful, "report": "" if found is None else found.render()}
    return _replayed(failure, name, told, arguments)


def _replay_test(failure: "SavedFailure", test: str, arguments: Namespace) -> Replayed:
    path = test.partition("::")[0]
    if not Path(path).exists():
        raise CommandError(
            f"there is no {visible(path)} in this folder; run this where pytest was run, or name the test with --test"
        )
    heard: list[pytest.TestReport] = []
    with tempfile.TemporaryDirectory(prefix="sessionguard-replay-") as folder:
        lines = Path(folder) / "outcomes.jsonl"
        given = [test, f"--sg-replay={failure.replay_id}", f"--sg-outcomes={lines}", *failure.origin.options]
        given += [f"--sg-artifacts={folder}", "-p", "no:cacheprovider"]
        try:
            run_pytest(given, Listener(heard.append))
        except NothingThereError as error:
            remedy = "name the one that it is now with --test"
            raise CommandError(f"there is no test {visible(test)} any more; {remedy}") from error
        outcomes = [json.loads(line) for line in lines.read_text("utf-8").splitlines()] if lines.exists() else []
        if not outcomes:
            raise CommandError(f"{visible(test)} raced nothing{_why(heard)}")
        if arguments.html:
            for page in Path(folder).glob("*.html"):
                arguments.html.write_bytes(page.read_bytes())
    # A test may race several scenarios: the one that fails is meant, or else the one that has the schedule.
    chosen = min(outcomes, key=lambda each: (each["ok"], each["followed"] is False))
    return _replayed(failure, test, chosen, arguments)


def _replayed(failure: "SavedFailure", where: str, told: dict[str, Any], arguments: Namespace) -> Replayed:
    if told.get("report"):
        is_same = (told["reason"], told["judge"]) == (failure.reason, failure.judge)
        verdict = FAILS if is_same else FAILS_OTHERWISE
    else:
        verdict = NOT_FOLLOWED if told["followed"] is False else GOES_WELL
    return Replayed(verdict, str(arguments.file), where, failure.replay_id, told.get("report", ""))


def _why(heard: "list[pytest.TestReport]") -> str:
    """Give what pytest says about a test that never came to its race."""
    for report in heard:
        if report.skipped and isinstance(report.longrepr, tuple):
            return f": {report.longrepr[2]}"
        if report.failed:
            return f", because it failed before:\n{report.longreprtext}"
    return "; does it still ask for the fixture `interleave`?"
