"""All cases there are: importing this module fills the register, in the order in which a store is best built."""

from sessionguard.testing.contracts import (
    agreement,
    closing,
    contending,
    crossing,
    data,
    ending,
    fencing,
    fleet,
    identity,
    leasing,
    limit_races,
    limiting,
    listing,
    loading,
    locking,
    meetings,
    opening,
    passing,
    purging,
    races,
    remembering,
    repeating,
    rotating,
    saving,
    sharding,
    sweeping,
    timing,
    touching,
)
from sessionguard.testing.contracts.cases import CASES, Case

__all__ = ["CASES", "SUBJECTS", "Case"]

SUBJECTS = tuple(
    module.__name__.rpartition(".")[2]
    for module in (
        opening,
        loading,
        saving,
        touching,
        rotating,
        limiting,
        ending,
        sweeping,
        purging,
        repeating,
        remembering,
        sharding,
        data,
        identity,
        closing,
        listing,
        locking,
        fencing,
        leasing,
        fleet,
        races,
        limit_races,
        meetings,
        passing,
        contending,
        crossing,
        timing,
        agreement,
    )
)
"""What the cases are about; one module each."""

_ordered = sorted(CASES.items(), key=lambda entry: SUBJECTS.index(entry[1].subject))
# In place: it is filled as the modules are imported, which is by the alphabet.
CASES.clear()
CASES.update(_ordered)
