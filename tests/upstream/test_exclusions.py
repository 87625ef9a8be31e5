"""A table of excluded cases hides nothing: each must be there, must fail, and for the reason that is written down."""

import pytest

from tests.upstream.exclusions import Ledger, Table
from tests.upstream.under_pytest import HeldToTable

CASE = "test_it.py::test_it"


def table(cases: str, at_least: int = 1) -> Table:
    """Give a table that excludes what `cases` says, in TOML."""
    head = f'about = "x"\nat_least = {at_least}\n[[excluded]]\nreason = "r"\n[excluded.cases]\n'
    return Table.parsed("planted", head + cases)


@pytest.mark.parametrize(
    "source, cases, is_green",
    [
        pytest.param("def test_it(): assert 1 == 2", f'"{CASE}" = "assert 1 == 2"', True, id="fails as written"),
        pytest.param("def test_it(): assert 1 == 3", f'"{CASE}" = "assert 1 == 2"', False, id="fails otherwise"),
        pytest.param("def test_it(): pass", f'"{CASE}" = "assert 1 == 2"', False, id="passes"),
        pytest.param("def test_other(): pass", f'"{CASE}" = "assert 1 == 2"', False, id="does not exist"),
        pytest.param("def test_it(): assert 1 == 2", "", False, id="is not excluded"),
        pytest.param("def test_it(): pass", "", True, id="nothing excluded"),
        pytest.param(
            "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_it(n): assert n == 2",
            f'"{CASE}" = "assert 1 == 2"',
            False,
            id="one parameter passes",
        ),
        pytest.param(
            "import pytest\n@pytest.mark.parametrize('n', [1, 2])\ndef test_it(n): assert n == 2",
            f'"{CASE}[1]" = "assert 1 == 2"',
            True,
            id="one parameter excluded",
        ),
    ],
)
def test_run_is_green_only_as_the_table_says(
    pytester: pytest.Pytester, source: str, cases: str, *, is_green: bool
) -> None:
    """A run is green if every excluded case failed as written and every other one passed."""
    pytester.makepyfile(test_it=source)
    alone = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest")
    assert (pytester.inline_run(*alone, plugins=[HeldToTable(table(cases))]).ret == 0) is is_green


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
