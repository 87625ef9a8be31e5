"""The one error of the commands' own, and how every error is told: in one line."""

from sessionguard.errors import StoreError


class CommandError(Exception):
    """The command could not be tried; the message says why, in one line."""


def told(error: Exception) -> str:
    """Give an error as commands print it."""
    if isinstance(error, StoreError):
        # Which verb of the store it was means nothing to whoever typed a command.
        return f"{error.store} store: " + str(error).removeprefix(f"{error.store} store, {error.operation}: ")
    return str(error)
