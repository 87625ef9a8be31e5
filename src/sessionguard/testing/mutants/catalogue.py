"""All planted bugs: importing this module fills the register."""

from sessionguard.testing.mutants import (
    endings,
    fencing,
    fleet,
    leasing,
    limiting,
    names,
    opening,
    repetition,
    routines,
    sharding,
    shelf,
    tokens,
    writing,
)
from sessionguard.testing.mutants.planting import MUTANTS, Mutant

__all__ = ["FAMILIES", "MUTANTS", "Mutant"]

FAMILIES = tuple(
    module.__name__.rpartition(".")[2]
    for module in (
        opening,
        tokens,
        limiting,
        writing,
        endings,
        repetition,
        sharding,
        names,
        routines,
        fencing,
        leasing,
        fleet,
        shelf,
    )
)
"""What the bugs are about; one module each."""
