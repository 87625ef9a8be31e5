"""A table of excluded cases hides nothing: each must be there, must fail, and for the reason that is written down."""

import pytest

from tests.upstream.exclusions import Ledger, Table
from tests.upstream.under_pytest import HeldToTable

CASE = "test_it.py::test_it"


def table(cases: str, at_least: int = 1) -> Table:
    """Give a table that excludes what `cases` says, in TOML."""
    head = f'about = "x"\nat_least = {at_least}\n[[excluded]]\nreason = "r"\n[excluded.cases]\n'
    return Table.parsed("planted", head + cases)


SUITE = """
import pytest

def test_as_written(): assert 1 == 2
def test_otherwise(): assert 1 == 3
def test_passes(): pass
def test_fails(): assert 0
def test_good(): pass

@pytest.mark.parametrize("n", [1, 2])
def test_both(n): assert n == 2

@pytest.mark.parametrize("n", [1, 2])
def test_one(n): assert n == 2
"""


def outcomes(pytester: pytest.Pytester, source: str, cases: str) -> tuple[int, dict[str, str]]:
    """Run `source` held to the table that excludes `cases`; give the exit status and what became of each case."""
    pytester.makepyfile(test_it=source)
    alone = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest")
    done = pytester.inline_run(*alone, plugins=[HeldToTable(table(cases))])
    reports = [report for report in done.getreports("pytest_runtest_logreport") if report.when == "call"]
    assert done.ret is not None
    return int(done.ret), {report.nodeid.partition("::")[2]: report.outcome for report in reports}


def test_run_is_red_for_all_that_the_table_does_not_say(pytester: pytest.Pytester) -> None:
    """Whatever passes though excluded, fails otherwise or without being excluded, is told as a failure."""
    cases = "\n".join(
        [
            '"test_it.py::test_as_written" = "assert 1 == 2"',
            '"test_it.py::test_otherwise" = "assert 1 == 2"',
            '"test_it.py::test_passes" = "assert 1 == 2"',
            '"test_it.py::test_both" = "assert 1 == 2"',
            '"test_it.py::test_one[1]" = "assert 1 == 2"',
        ]
    )
    status, found = outcomes(pytester, SUITE, cases)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert found == {
        "test_as_written": "skipped",
        "test_otherwise": "failed",
        "test_passes": "failed",
        "test_fails": "failed",
        "test_good": "passed",
        "test_both[1]": "skipped",
        "test_both[2]": "failed",
        "test_one[1]": "skipped",
        "test_one[2]": "passed",
    }


@pytest.mark.parametrize("absent, is_green", [("", True), ('\n"test_it.py::test_gone" = "x"', False)])
def test_run_is_green_if_all_is_as_the_table_says(pytester: pytest.Pytester, absent: str, *, is_green: bool) -> None:
    """A run in which the excluded cases fail as written is green, unless one of them does not exist any more."""
    source = "def test_it(): assert 1 == 2\ndef test_good(): pass"
    status, found = outcomes(pytester, source, f'"{CASE}" = "assert 1 == 2"{absent}')
    assert found == {"test_it": "skipped", "test_good": "passed"}
    assert (status == pytest.ExitCode.OK) is is_green


def test_half_a_suite_is_not_the_suite() -> None:
    """Fewer cases than the suite has are told."""
    ledger = Ledger(table("", at_least=3))
    ledger.collected(["a", "b"])
    assert ledger.complaints == ["2 cases were found; the suite has at least 3"]


@pytest.mark.parametrize(
    "cases", [f'"{CASE}" = ""', f'"{CASE}" = "x"\n[[excluded]]\nreason = "s"\ncases = {{"{CASE}" = "y"}}']
)
def test_table_names_a_case_once_with_what_it_shows(cases: str) -> None:
    """A table that names a case twice, or not what its failure shows, is refused."""
    with pytest.raises(ValueError, match=f"name {CASE} once"):
        table(cases)


def test_figures_of_a_run() -> None:
    """The summary counts each case once, by what became of it."""
    ledger = Ledger(table('"b" = "x"\n"d" = "y"'))
    ledger.passed("a")
    ledger.failed("b", "... x ...")
    ledger.skipped("c")
    ledger.failed("d", "z")
    assert ledger.summary() == "4 run, 1 passed, 1 excluded, 1 skipped, 1 failed"
