"""The error tree is whole: every error has its own code, survives pickling, and is drawn and documented."""

import inspect
import pickle
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionguard import errors
from sessionguard.errors import SessionGuardError
from tests.architecture.source_tree import REPOSITORY

REFERENCE_PAGE = REPOSITORY / "docs" / "reference" / "errors.md"

SAMPLES: dict[object, object] = {str: "sample", int: 7, float: 1.5, bool: True, object: {"a": 1}, Any: "anything"}


def tree_below(base: type[SessionGuardError]) -> Iterator[type[SessionGuardError]]:
    """Yield `base` and every error below it that the library itself defines."""
    yield base
    for child in base.__subclasses__():
        if child.__module__.startswith("sessionguard."):
            yield from tree_below(child)


ERRORS = list(dict.fromkeys(tree_below(SessionGuardError)))


def sample_of(error_class: type[SessionGuardError]) -> SessionGuardError:
    """Give an error of that class, each argument filled according to its annotation."""
    hints = typing.get_type_hints(error_class.__init__)
    arguments: dict[str, object] = {}
    for parameter in list(inspect.signature(error_class.__init__).parameters.values())[1:]:
        hint = hints[parameter.name]
        choices = (hint, *typing.get_args(hint))
        arguments[parameter.name] = next(SAMPLES[choice] for choice in choices if choice in SAMPLES)
    return error_class(**arguments)  # type: ignore[arg-type]


def lost_in_pickling(sent: Exception) -> str | None:
    """Say what an error loses on its way to another process; None when it arrives whole."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        try:
            received = pickle.loads(pickle.dumps(sent, protocol))
        except Exception as failure:
            return f"everything: {failure!r}"
        if type(received) is not type(sent) or str(received) != str(sent) or received.args != sent.args:
            return f"its class or message: {received!r}"
        if vars(received) != vars(sent):
            return f"attributes: {vars(received)}"
    return None


class Unpicklable(Exception):
    """A planted fault: its constructor cannot be called with its `args`."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"limit {limit}")


class Forgetful(Exception):
    """A planted fault: it leaves an attribute behind."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.retryable = len(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _without_attributes, (self.args[0],)


def _without_attributes(message: str) -> Forgetful:
    error = Forgetful.__new__(Forgetful, message)
    error.args = (message,)
    return error


def undocumented(error_classes: list[type[SessionGuardError]], page: str) -> list[str]:
    """List the errors whose class name or code the page does not give."""
    return [
        f"{error_class.__name__} ({error_class.code})"
        for error_class in error_classes
        if f"`{error_class.__name__}`" not in page or f"`{error_class.code}`" not in page
    ]


def test_codes_are_unique() -> None:
    """No two errors share a code, and none inherits one."""
    codes = [error_class.code for error_class in ERRORS]
    assert sorted(set(codes)) == sorted(codes)
    assert [error_class for error_class in ERRORS if "code" not in vars(error_class)] == []


def test_all_errors_live_in_one_module() -> None:
    """Every error is defined in `sessionguard.errors`."""
    assert [error_class for error_class in ERRORS if error_class.__module__ != errors.__name__] == []


@pytest.mark.parametrize("error_class", ERRORS, ids=lambda error_class: error_class.__name__)
def test_pickle_round_trip(error_class: type[SessionGuardError]) -> None:
    """An error sent to another process arrives with its class, message and attributes."""
    assert lost_in_pickling(sample_of(error_class)) is None


@pytest.mark.parametrize("error_class", ERRORS, ids=lambda error_class: error_class.__name__)
def test_error_is_explained(error_class: type[SessionGuardError]) -> None:
    """Every error has a docstring of its own and stands in the tree drawn at the top of the module."""
    assert vars(error_class)["__doc__"]
    assert error_class.__name__ in (errors.__doc__ or "")


def test_every_error_is_documented() -> None:
    """The reference page gives the name and the code of every error."""
    page = REFERENCE_PAGE.read_text(encoding="utf-8") if REFERENCE_PAGE.exists() else ""
    missing = undocumented(ERRORS, page)
    assert not missing, f"{Path(*REFERENCE_PAGE.parts[-3:])} says nothing of: {', '.join(missing)}"


def test_planted_faults_are_caught() -> None:
    """An error that loses its attributes in pickling, and one that no page names, are seen."""
    assert "TypeError" in (lost_in_pickling(Unpicklable(limit=7)) or "")
    assert "attributes" in (lost_in_pickling(Forgetful("full")) or "")
    assert undocumented([SessionGuardError], "`SessionGuardError` without its code") == [
        "SessionGuardError (sessionguard_error)"
    ]
