"""Histories: what clients did at the same time, and the judge of whether one thing at a time explains it.

    history = History()
    stores = [recorded(store, history, f"client {number}") for number in range(4)]
    ...                                          # each thread asks its own; or a guard on it does
    require_legal(check(history, SessionModel))  # raises with a report, if no order explains what they were told

A key, which is a slot or a session that no slot knows, may have about 500 operations of 8 clients; `Budget` bounds the
search, and `Unknown` is what it gives when that is not enough.
"""

from sessionguard.testing.history.checking import check
from sessionguard.testing.history.model import Key, Model, Objection
from sessionguard.testing.history.operations import Operation, Outcome
from sessionguard.testing.history.recorder import History, Recording, merge
from sessionguard.testing.history.search import Budget
from sessionguard.testing.history.sessions import Actor, SessionModel, recorded, recorded_async
from sessionguard.testing.history.verdicts import (
    HistoryError,
    Illegal,
    Legal,
    Unknown,
    UnknownVerdictWarning,
    Verdict,
    require_legal,
)

__all__ = [
    "Actor",
    "Budget",
    "History",
    "HistoryError",
    "Illegal",
    "Key",
    "Legal",
    "Model",
    "Objection",
    "Operation",
    "Outcome",
    "Recording",
    "SessionModel",
    "Unknown",
    "UnknownVerdictWarning",
    "Verdict",
    "check",
    "merge",
    "recorded",
    "recorded_async",
    "require_legal",
]
