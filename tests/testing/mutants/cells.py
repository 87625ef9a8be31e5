"""The cells of the kill matrix as parameters of tests, each under a name that is the same in every run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import frozen

from sessionguard.testing.mutants.table.catalogue import ROWS
from sessionguard.testing.mutants.table.racing import Race
from sessionguard.testing.mutants.table.rows import Layer, Make, Row, Specimen
from tests.conftest import installed


@frozen
class Examined:
    """A specimen in one layer of its row."""

    row: Row
    specimen: Specimen
    layer: Layer

    @contextmanager
    def ready(self) -> Iterator[Make]:
        """Give what makes the specimen; without the engine that it needs the test is skipped, and fails where CI is."""
        with installed(self.specimen.ready) as make:
            yield make

    @property
    def race(self) -> Race:
        """Its race, in layer I."""
        trial = self.row.trials[self.layer]
        assert isinstance(trial, Race)
        return trial

    def __str__(self) -> str:
        return f"{self.row.number}-{self.specimen.name}-{self.layer}"


REQUIRED = [Examined(row, mutant, layer) for row in ROWS for mutant in row.mutants for layer in sorted(row.required)]
TWINS = [Examined(row, twin, layer) for row in ROWS for twin in row.twins for layer in row.cells(twin)]
RACES = [examined for examined in REQUIRED if examined.layer == "I"]


def each(examined: list[Examined]) -> pytest.MarkDecorator:
    """Give the mark that plays a test for each of these."""
    return pytest.mark.parametrize("examined", examined, ids=str)
