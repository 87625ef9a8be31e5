"""`sessionguard contract`: puts a store to the contract kit, by the name of what makes it."""

import sys
import tempfile
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sessionguard.cli import status
from sessionguard.cli.failure import CommandError
from sessionguard.cli.output import print_json, visible
from sessionguard.cli.pytesting import Listener, NothingThereError, require_testing, run_pytest
from sessionguard.cli.repeating import one_case

if TYPE_CHECKING:
    import pytest

    from sessionguard.testing import Capabilities, Verdict

ABILITIES = ("asynchronous", "shared", "processes", "durable", "listing", "locks", "leases", "fleet", "limits")
"""What a store may be declared to lack."""

EPILOG = """\
FACTORY takes a folder, new and empty for each case, and gives a store that keeps its sessions there:

  def make_store(folder):
      return MyStore(folder / "sessions.db")

Called again with the same folder it gives another connection to the same sessions. For a server, folder.name is a
prefix or a schema that nobody had before, also not in another run. A factory without arguments gives a store with
sessions of its own each time, and needs --per-process. The current folder is searched for MODULE first.

examples:
  sessionguard contract shop.stores:make_store
  sessionguard contract shop.stores:make_store --without listing,locks,leases --junit report.xml
  sessionguard contract shop.stores:MemoryCarts --per-process -k "reason or sweep"

exit status: 0 every case passed, 1 some did not, 2 it could not be tried, 130 interrupted
"""

TEST_FILE = """
import pytest
from sessionguard.testing import Capabilities, StoreContract
from sessionguard.testing.contracts.factory import Factory, new_place
from sessionguard.testing.naming import load

class TestStore(StoreContract):
    capabilities = {capabilities!r}
    yields = {yields!r}

    @pytest.fixture
    def make_{kind}store(self, tmp_path):
        return Factory.of(load({factory!r}), {factory!r}).at(new_place(tmp_path))
"""
"""What somebody would write by hand."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "factory", metavar="MODULE:FACTORY", help="what makes the store, such as shop.stores:make_store"
    )
    store = parser.add_argument_group("what the store can do; everything is expected unless it is declared missing")
    store.add_argument(
        "--without",
        metavar="ABILITY,...",
        type=_abilities,
        action="extend",
        default=[],
        help=f"what it lacks: {', '.join(ABILITIES)}; its cases are skipped",
    )
    store.add_argument(
        "--per-process",
        action="store_true",
        help="its sessions live in one object of one process: --without shared,processes,durable",
    )
    cases = parser.add_argument_group("which cases, and how often")
    cases.add_argument("-k", metavar="EXPRESSION", help="only cases whose name matches, as in pytest -k")
    cases.add_argument("-x", action="store_true", help="stop at the first failure; later cases build on earlier ones")
    cases.add_argument(
        "--profile",
        choices=("ci", "deep"),
        default="ci",
        help="few rounds, or as many as the promises name (default ci)",
    )
    races = parser.add_argument_group("races in every order")
    races.add_argument(
        "--yields",
        metavar="WHERE",
        help="where callers are interrupted: declared (at the store's own points), io (where it reaches for "
        "files, databases or Redis), lines:MODULE (at every line of it) or ops (only between calls); default: declared "
        "if it has any, else io, else the lines of its own modules, else ops",
    )
    races.add_argument("--seed", metavar="N", type=int, default=0, help="seed of ids, luck and random searches")
    races.add_argument("--replay", metavar="ID", help="only the schedule of this id, which a report printed")
    report = parser.add_argument_group("report")
    report.add_argument("--junit", metavar="FILE", help="write the verdicts as JUnit XML, too")
    report.add_argument("--json", action="store_true", help="print JSON instead of text")
    report.add_argument("--traceback", action="store_true", help="show failures with their whole traceback")


def _abilities(text: str) -> list[str]:
    named = [name.strip() for name in text.split(",")]
    unknown = [name for name in named if name not in ABILITIES]
    if unknown:
        raise ArgumentTypeError(f"{unknown[0]!r} is no ability; there are {', '.join(ABILITIES)}")
    return named


def run(arguments: Namespace) -> int:
    """Play the kit and report; the status says whether every case that was played passed."""
    require_testing()
    began = time.monotonic()
    judged = _Judged(arguments.traceback, is_shown=not arguments.json)
    with tempfile.TemporaryDirectory(prefix="sessionguard-contract-") as folder:
        try:
            _play(arguments, judged, Path(folder))
        except NothingThereError as error:
            raise CommandError(f"no case matches -k {arguments.k!r}") from error
    judged.end()
    # Not before pytest ran: assertions are made readable in what is imported while it does.
    from sessionguard.testing.contracts.reporting import render

    if all(verdict.status == "skip" for verdict in judged.verdicts):
        raise CommandError(f"every case that was chosen is skipped: {judged.verdicts[0].reason}")
    if arguments.json:
        print_json(judged.plain())
    else:
        print()
        print("\n".join(visible(line) for line in render(judged.verdicts).splitlines()), end="")
        print(f" in {time.monotonic() - began:.1f} s")
        judged.advise(arguments)
    return status.FAILED if judged.failed else status.OK


def _play(arguments: Namespace, judged: "_Judged", folder: Path) -> None:
    from attrs import evolve

    from sessionguard.testing.contracts.factory import Factory, new_place
    from sessionguard.testing.naming import load
    from sessionguard.testing.schedule.reports.reproducing import repeated_by

    # As `python -m` does: what somebody works on lies here and is often not installed.
    sys.path.insert(0, str(Path.cwd()))
    capabilities = _capabilities(arguments)
    factory = Factory.of(load(arguments.factory, "factory"), arguments.factory)
    is_async = factory.probe(new_place(folder), capabilities)
    if is_async:
        capabilities = evolve(capabilities, blocking=False)
    test = folder / "test_store.py"
    kind = "async_" if is_async else ""
    test.write_text(
        TEST_FILE.format(capabilities=capabilities, yields=arguments.yields, kind=kind, factory=arguments.factory),
        encoding="utf-8",
    )

    def again(node: str, replay: str) -> str:
        return one_case(arguments, *_case_of(node), "--replay", replay)

    with repeated_by(again):
        run_pytest(_pytest_arguments(arguments, folder, test), judged.listener, is_isolated=True)


def _capabilities(arguments: Namespace) -> "Capabilities":
    from attrs import evolve

    from sessionguard.testing import PER_PROCESS, Capabilities

    capabilities = PER_PROCESS if arguments.per_process else Capabilities()
    return evolve(capabilities, **dict.fromkeys(arguments.without, False))


def _pytest_arguments(arguments: Namespace, folder: Path, test: Path) -> list[str]:
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\njunit_suite_name = contract\n", encoding="utf-8")
    given = ["-c", str(settings), f"--rootdir={folder}", f"--basetemp={folder / 'places'}", "-p", "no:cacheprovider"]
    given += ["-p", "sessionguard.testing.plugin", f"--sg-profile={arguments.profile}", str(test)]
    given += ["-k", arguments.k] if arguments.k else []
    given += ["-x"] if arguments.x else []
    given += [f"--sg-seed={arguments.seed}"] + ([f"--sg-replay={arguments.replay}"] if arguments.replay else [])
    return given + ([f"--junitxml={Path(arguments.junit).absolute()}"] if arguments.junit else [])


class _Judged:
    """The verdicts as they come, told subject by subject."""

    def __init__(self, has_traceback: bool, is_shown: bool) -> None:
        self.verdicts: list[Verdict] = []
        self.listener = Listener(self._hear)
        self._seconds: list[float] = []
        # Kept, for while pytest runs what it prints goes elsewhere.
        self._out = sys.stdout
        self._has_traceback, self._is_shown = has_traceback, is_shown
        self._subject: list[Verdict] = []

    @property
    def failed(self) -> "list[Verdict]":
        """Those who failed."""
        return [verdict for verdict in self.verdicts if verdict.status == "fail"]

    def plain(self) -> dict[str, Any]:
        """Give everything as values that JSON knows."""
        from sessionguard.testing.contracts.reporting import behaviour_of, summary

        cases = [
            {
                "case": verdict.case,
                "mode": verdict.mode,
                "behaviour": behaviour_of(verdict.case),
                "status": verdict.status,
                "reason": verdict.reason,
                "remark": verdict.remark,
                "seconds": round(seconds, 3),
            }
            for verdict, seconds in zip(self.verdicts, self._seconds, strict=True)
        ]
        return {"ok": not self.failed, "summary": summary(self.verdicts), "cases": cases}

    def end(self) -> None:
        """Tell of the last subject."""
        from sessionguard.testing.contracts.reporting import summary

        if self._subject and self._is_shown:
            line = f"  {_subject_of(self._subject[-1]):<12}{summary(self._subject)}"
            print(line, file=self._out, flush=True)
        self._subject = []

    def advise(self, arguments: Namespace) -> None:
        """Say how to go on with what failed."""
        if self.failed:
            first = self.failed[0]
            print(f"start with the first: {one_case(arguments, first.case, first.mode, '--traceback')}")

    def _hear(self, report: "pytest.TestReport") -> None:
        from sessionguard.testing import Verdict
        from sessionguard.testing.contracts.remarks import remark_of

        if report.when != "call" and report.passed:
            return
        case, mode = _case_of(report.nodeid)
        remark = remark_of(report) if report.passed else ""
        verdict = Verdict(case, mode, _STATUSES[report.outcome], self._reason(report), remark=remark)
        if self._subject and _subject_of(self._subject[-1]) != _subject_of(verdict):
            self.end()
        self.verdicts.append(verdict)
        self._seconds.append(report.duration)
        self._subject.append(verdict)

    def _reason(self, report: "pytest.TestReport") -> str:
        if report.passed:
            return ""
        if report.skipped and isinstance(report.longrepr, tuple):
            return report.longrepr[2].removeprefix("Skipped: ")
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is None or self._has_traceback:
            return str(report.longreprtext)
        first, *others = str(crash.message).splitlines() or [""]
        return "\n".join([f"{first}   ({Path(crash.path).name}:{crash.lineno})", *others])


_STATUSES: Any = {"passed": "ok", "skipped": "skip", "failed": "fail"}


def _case_of(test: str) -> tuple[str, str]:
    case, _, mode = test.rpartition("::test_")[2].partition("[")
    return case, mode.removesuffix("]")


def _subject_of(verdict: "Verdict") -> str:
    from sessionguard.testing.contracts.catalogue import CASES

    return CASES[verdict.case].subject if verdict.case in CASES else "the kit"
