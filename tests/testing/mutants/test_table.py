"""The table is whole, its page says what it says, and nothing counts as a kill that is none."""

import re
from pathlib import Path

import pytest

from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.__main__ import main
from sessionguard.testing.mutants.table import faulting, files
from sessionguard.testing.mutants.table.catalogue import ROWS
from sessionguard.testing.mutants.table.measuring import Cell, examine, marginal, p95
from sessionguard.testing.mutants.table.rows import Effort, Finding, Row
from sessionguard.testing.mutants.table.sequential import contract, machine
from tests.architecture.source_tree import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "kill-matrix.md"

SPECIFIED = {
    1: "I", 2: "IK", 3: "I", 4: "C", 5: "I", 6: "I", 7: "I", 8: "CH", 9: "IK", 10: "I", 11: "I", 12: "K", 13: "CH",
    14: "K", 15: "K", 16: "IK", 17: "K", 18: "K", 19: "HI", 20: "CHI", 21: "HK", 22: "CH", 23: "C", 24: "C", 25: "CH",
    26: "I", 27: "CH", 30: "I",
}  # fmt: skip
"""The rows of the specification that these layers must kill; 28 and 29 are for a probe of HTTP alone."""


def test_the_table_has_every_row_of_the_specification() -> None:
    """Each row that one of these layers must kill is there, with these layers, mutants, and a fixed twin."""
    assert {row.number for row in ROWS} == SPECIFIED.keys()
    for row in ROWS:
        assert row.required == set(SPECIFIED[row.number]), row.title
        assert row.required <= row.trials.keys()
        assert row.mutants
        assert row.twins


def test_specimens_say_what_they_are() -> None:
    """Every specimen tells in one line what is done in it, and no two of a row have one name."""
    for row in ROWS:
        specimens = [*row.mutants, *row.twins]
        assert len({specimen.name for specimen in specimens}) == len(specimens)
        assert [each.name for each in specimens if not each.told or len(each.told) > 120] == []


def table_of_page(heading: str) -> list[list[str]]:
    """Give the cells of the table under a heading of the page, without its head."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_has_every_mutant() -> None:
    """The rows, bugs, mutants and required cells of the page are those of the catalogue, and all were killed always."""
    shown = [(line[0], line[1], line[2], _bold(line[3:7])) for line in table_of_page("Mutants")]
    expected = [
        (str(row.number), row.title, f"`{mutant.name}`: {mutant.told}", row.required)
        for row in ROWS
        for mutant in row.mutants
    ]
    assert shown == expected
    for line in table_of_page("Mutants"):
        for killed, seeds in re.findall(r"\*\*(\d+)/(\d+)\*\*", " ".join(line[3:7])):
            assert killed == seeds


def _bold(cells: list[str]) -> frozenset[str]:
    return frozenset(layer for layer, cell in zip("CHIK", cells, strict=True) if cell.startswith("**"))


def test_the_page_has_every_twin() -> None:
    """So are the twins, of which none was taken for a bug."""
    lines = table_of_page("Twins and variants that only look wrong")
    shown = [(line[0], line[1], line[2].split(), line[4]) for line in lines]
    assert shown == [
        (str(row.number), f"`{twin.name}`: {twin.told}", list(row.cells(twin)), "0")
        for row in ROWS
        for twin in row.twins
    ]


def test_the_command_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command plays the rows and layers that it is asked for, shows the cells, and writes the page."""
    target = tmp_path / "page.md"
    wanted = ["--rows", "11", "--seeds", "2", "--schedules", "20", "--markdown", str(target)]
    assert main([*wanted, "--layers", "I"]) == 0
    printed = capsys.readouterr().out
    assert "WritesAfterUnlocking" in printed
    assert "1 of 1 required cells killed with every seed" in printed
    assert "**2/2**" in target.read_text(encoding="utf-8")


def test_a_store_that_is_broken_otherwise_is_not_killed(tmp_path: Path) -> None:
    """An error of the implementation's own that says nothing about the bug is raised, not counted."""

    class Breaks(ModelStore):
        """Its verbs are missing their arguments."""

        def get(self) -> None:  # type: ignore[override]
            """Fail."""

    with pytest.raises(RuntimeError, match="broken in another way"):
        contract(lambda folder: Breaks(), tmp_path, Effort())
    with pytest.raises(TypeError):
        machine(lambda folder: Breaks(), tmp_path, Effort())


def test_what_does_not_work_without_a_fault_is_not_killed(tmp_path: Path) -> None:
    """A sweep whose operation fails before anything was struck is an error of the row."""
    with pytest.raises(RuntimeError, match="without any fault"):
        faulting.LEASES(files.WritesInPlace, tmp_path, Effort())


def row_of(title: str) -> Row:
    """Give a row by its title."""
    [row] = [row for row in ROWS if row.title == title]
    return row


def test_a_right_implementation_would_be_no_kill() -> None:
    """Measured as if it were a mutant, a twin survives its layer."""
    row = row_of("a lock that is released early")
    cell = examine(row, row.twins[0], "I", row.twins[0].make, range(2))
    assert cell.is_required
    assert (cell.killed, cell.is_killed) == (0, False)


def test_marginal_kills_are_those_of_one_layer() -> None:
    """A mutant counts for a layer if that layer alone kills it, with every seed."""
    row = row_of("a save after the end")
    [mutant] = row.mutants
    dead, alive = Finding(True, 1), Finding(False, 1)
    races = Cell(row, mutant, "I", (dead, dead), (0.0, 0.0))
    assert marginal([races])["I"] == [mutant.name]
    assert marginal([races, Cell(row, mutant, "C", (alive, dead), (0.0, 0.0))])["I"] == []
    assert marginal([Cell(row, mutant, "I", (alive, dead), (0.0, 0.0))])["I"] == []


def test_p95_is_what_one_in_twenty_exceeds() -> None:
    """Of a hundred values five may be greater."""
    assert p95(range(1, 101)) == 95
    assert p95([7]) == 7
