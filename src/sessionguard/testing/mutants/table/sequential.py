"""The layers with one caller: the contract kit (C) and the Hypothesis machine (H), on any store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from sessionguard.errors import IdentityMismatchError
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.capabilities import PER_PROCESS
from sessionguard.testing.contracts.cases import SequentialCase
from sessionguard.testing.contracts.catalogue import CASES
from sessionguard.testing.contracts.machine import SessionMachine
from sessionguard.testing.contracts.verdicts import verdicts
from sessionguard.testing.mutants.table.rows import Effort, Finding, Make

_SEQUENTIAL: Final = [name for name, case in CASES.items() if isinstance(case, SequentialCase)]
_STEPS: Final = 50
OBJECTIONS: Final = (AssertionError, IdentityMismatchError)
"""What says that an implementation is wrong. Whatever else is raised says that it, or a layer, is broken otherwise."""


def contract(make: Make, folder: Path, effort: Effort) -> Finding:
    """Play the cases of the store contract that have one caller, one after the other, until one fails."""
    for tries, name in enumerate(_SEQUENTIAL, start=1):
        judged = verdicts(lambda: lambda: make(folder), capabilities=PER_PROCESS, cases=[name], modes=["blocking"])
        for verdict in judged:
            if verdict.status == "fail":
                _require_objection(verdict.error)
                return Finding(True, tries, f"{verdict.case}: {verdict.reason}")
    return Finding(False, len(_SEQUENTIAL))


def machine(make: Make, folder: Path, effort: Effort) -> Finding:
    """Draw traces of commands, and compare each reply with that of the model."""
    candidate = Candidate(lambda: make(folder), PER_PROCESS)
    return drawn(lambda: SessionMachine(candidate, "blocking"), effort)


def drawn(make_machine: Callable[[], Any], effort: Effort) -> Finding:
    """Draw traces of any machine, without shrinking the first one that fails."""
    traces = 0

    def counted() -> Any:
        nonlocal traces
        traces += 1
        return make_machine()

    try:
        run_state_machine_as_test(hypothesis.seed(effort.seed)(counted), settings=drawing(effort))  # type: ignore[arg-type]
    except OBJECTIONS as error:
        return Finding(True, traces, in_one_line(error))
    return Finding(False, traces)


def drawing(effort: Effort) -> settings:
    """Give the settings of a search by drawing, of which only the luck is not fixed."""
    return settings(
        max_examples=effort.examples,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
    )


def _require_objection(error: BaseException | None) -> None:
    if not isinstance(error, OBJECTIONS):
        raise RuntimeError("the store is broken in another way than it says") from error


def in_one_line(error: BaseException) -> str:
    """Give the kind of an error and the first line of its message."""
    message = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
