"""What is shared of a workspace, as the resources of points: its files, its book, its lease and what removes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sessionguard.core.points import Mode, Part, point

FILES: Final = "files of workspaces"
BOOKS: Final = "books of workspaces"
ACCOUNTS: Final = "accounts of owners"
LEASES: Final = "leases of workspaces"
MARKS: Final = "workspaces to be removed"


def reach(label: str, what: str, session_id: str, mode: Mode) -> None:
    """Say what is reached of one session; what is shared by others of it is told by `what`."""
    point(label, Part(what, session_id), mode)


def take(what: str, session_id: str) -> None:
    """Be before a wait for something that one at a time may have. `give_back` follows in every case."""
    point("lock", Part(f"lock on {what}", session_id), "acq")


def give_back(what: str, session_id: str) -> None:
    """Be behind it: others may have it now."""
    point("unlock", Part(f"lock on {what}", session_id), "rel")


@contextmanager
def taken(what: str, session_id: str) -> Iterator[None]:
    """Be before and behind it; in the block it is taken and given back."""
    take(what, session_id)
    try:
        yield
    finally:
        give_back(what, session_id)
