"""All cases there are: importing this module fills the register, in the order in which a place is best built."""

from sessionguard.testing.contracts.places import (
    archiving,
    awaiting,
    crashing,
    fencing,
    inspecting,
    leasing,
    limiting,
    naming,
    publishing,
    removing,
    sharing,
)
from sessionguard.testing.contracts.places.cases import PLACE_CASES, PlaceCase

__all__ = ["PLACE_CASES", "PLACE_SUBJECTS", "PlaceCase"]

PLACE_SUBJECTS = tuple(
    module.__name__.rpartition(".")[2]
    for module in (
        naming,
        publishing,
        limiting,
        leasing,
        removing,
        inspecting,
        fencing,
        sharing,
        archiving,
        awaiting,
        crashing,
    )
)
"""What the cases are about; one module each."""

_ordered = sorted(PLACE_CASES.items(), key=lambda entry: PLACE_SUBJECTS.index(entry[1].subject))
# In place: it is filled as the modules are imported, which is by the alphabet.
PLACE_CASES.clear()
PLACE_CASES.update(_ordered)
