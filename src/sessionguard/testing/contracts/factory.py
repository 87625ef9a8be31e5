"""What makes the store under test, as a fixture or a command line is given it: a function of a folder, or of nothing.

The folder is new and empty for each case. Called again with the same folder, the function gives another connection to
the same sessions; for a server, the folder's name, which nobody had before, serves as a prefix or a schema. A function
of nothing gives a store with sessions of its own each time.
"""

import asyncio
import inspect
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.contracts.candidate import Candidate, MakeStore
from sessionguard.testing.contracts.capabilities import Capabilities, verbs_lacking
from sessionguard.testing.contracts.probing import APART, keeps_apart

_WANTED = "def make_store(folder), which gives a store that keeps its sessions there, or def make_store()"
_KINDS_OF_VALUES = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@frozen
class Factory:
    """A function that makes the store under test, and what is known about it."""

    make: Callable[..., Any]
    takes_folder: bool
    name: str = "make_store"
    """What errors call it."""

    @classmethod
    def of(cls, make: object, name: str = "make_store") -> "Factory":
        """Give the factory that `make` is.

        Raises:
            InvalidArgumentError: it cannot be called, or wants other arguments than a folder.
        """
        if not callable(make):
            remedy = f"it is {_shown(make)}, which cannot be called; give a class or a function: {_WANTED}"
            raise InvalidArgumentError("factory", name, remedy)
        wanted = _required(make)
        if len(wanted) > 1 or any(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in wanted):
            named = ", ".join(parameter.name for parameter in wanted)
            raise InvalidArgumentError("factory", name, f"it wants the arguments {named}; write {_WANTED}")
        return cls(make, bool(wanted), name)

    def at(self, folder: Path) -> MakeStore:
        """Give what connects to the place in `folder`; it can be pickled if the function can."""
        return partial(self.make, folder) if self.takes_folder else self.make

    def probe(self, folder: Path, capabilities: Capabilities) -> bool:
        """Make stores in `folder`, leave a session there, and give whether they are async ones.

        Raises:
            InvalidArgumentError: it raised, gave no store, or one that lacks a verb or what `capabilities` say.
        """
        if capabilities.shared and not self.takes_folder:
            remedy = (
                "it takes no argument, so nobody can tell it where a case begins empty; let it take a folder, or say "
                "that each call gives a store with sessions of its own (PER_PROCESS, on a command line --per-process)"
            )
            raise InvalidArgumentError("factory", self.name, remedy)
        try:
            store = self.at(folder)()
        except Exception as error:
            raise InvalidArgumentError(
                "factory", self.name, f"calling it raised {type(error).__name__}: {error}"
            ) from error
        if inspect.iscoroutine(store):
            store.close()
            raise InvalidArgumentError("factory", self.name, "it is a coroutine function; give one that is called")
        objection = _objection(store, capabilities)
        is_async = inspect.iscoroutinefunction(getattr(store, "load", None))
        _close(store)
        if objection is None and keeps_apart(self.candidate(folder, capabilities, is_async)):
            objection = APART
        if objection is not None:
            raise InvalidArgumentError("factory", self.name, objection)
        return is_async

    def candidate(self, folder: Path, capabilities: Capabilities, is_async: bool) -> Candidate:
        """Give the store under test in one place."""
        make = self.at(folder)
        if is_async:
            return Candidate(None, evolve(capabilities, blocking=False), make)
        return Candidate(make, capabilities)


def new_place(folder: Path) -> Path:
    """Make a folder in `folder` for one case and give it; its name is an identifier that nobody had before."""
    place = folder / f"case_{secrets.token_hex(6)}"
    place.mkdir()
    return place


def _required(make: Callable[..., Any]) -> list[inspect.Parameter]:
    """Give the parameters that have no default."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return []  # It is written in C and says nothing about itself.
    return [each for each in parameters if each.default is each.empty and each.kind not in _KINDS_OF_VALUES]


def _objection(store: Any, capabilities: Capabilities) -> str | None:
    """Give which verbs a store lacks, of those that it must have or is said to have."""
    lacking = verbs_lacking(store)
    if not hasattr(store, "load") and not hasattr(store, "create"):
        return f"it gives {_shown(store)}, which has no verbs of sessionguard.stores.contract.Store"
    if lacking:
        return f"it gives {_shown(store)}, which lacks {lacking} of sessionguard.stores.contract.Store"
    abilities = capabilities.lacking(store)
    if not abilities:
        return None
    named = " and ".join(f"{verbs} ({ability})" for ability, verbs in abilities.items())
    declared = ", ".join(f"{ability}=False" for ability in abilities)
    return (
        f"it gives {_shown(store)}, which lacks {named}; write that, or say that it is missing: "
        f"Capabilities({declared}), on a command line --without {','.join(abilities)}"
    )


def _close(store: Any) -> None:
    answer = getattr(store, "close", lambda: None)()
    if inspect.iscoroutine(answer):
        asyncio.run(answer)


def _shown(value: object) -> str:
    return "None" if value is None else f"something of type {type(value).__name__}"
