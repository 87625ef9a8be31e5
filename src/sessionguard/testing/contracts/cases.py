"""The register of cases: what a store must do, each behaviour written once for every mode in which it is played."""

import asyncio
from collections.abc import Callable
from typing import ClassVar, Final, overload

from attrs import field, frozen

from sessionguard.core.driving import Flow, run, run_async
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.profile import Profile

Steps = Flow[None]
"""The body of a case: it asks the store through `yield from perform(command)` and asserts what it hears."""
Body = Callable[[Stage], Steps]


@frozen
class Case:
    """One behaviour that every store must show."""

    modes: ClassVar[tuple[str, ...]] = ()
    """The ways in which it is played."""
    mode_needs: ClassVar[dict[str, str]] = {}
    """Mode -> the capabilities without which it is skipped."""

    subject: str
    name: str
    behaviour: str
    """The behaviour in one sentence."""
    needs: frozenset[str]
    """Names of `Capabilities` without which the case is skipped."""

    def refusal(self, mode: str, candidate: Candidate) -> str | None:
        """Give why this case is skipped in this mode for a store with these capabilities, or None."""
        return candidate.capabilities.missing(self.needs | set(self.mode_needs[mode].split()))

    def play(self, mode: str, candidate: Candidate, profile: Profile) -> str | None:
        """Play it in one mode; returns if the store shows the behaviour, raises what is wrong otherwise.

        The result, if there is one, says what a store could still get wrong unseen, and what to do about it.
        """
        raise NotImplementedError


@frozen
class SequentialCase(Case):
    """A behaviour that one caller can see, blocking or async."""

    modes = ("blocking", "async")
    mode_needs: ClassVar = {"blocking": "blocking", "async": "asynchronous"}

    body: Body = field(repr=False)

    def play(self, mode: str, candidate: Candidate, profile: Profile) -> None:
        """Run the body once."""
        if mode == "async":
            asyncio.run(self._play_async(candidate))
            return
        with candidate.connected() as (store, stage):
            run(self.body(stage), store)

    async def _play_async(self, candidate: Candidate) -> None:
        async with candidate.connected_async() as (store, stage):
            await run_async(self.body(stage), store)


CASES: Final[dict[str, Case]] = {}
"""Every case by its name, filled by the modules of this package as they are imported."""


def register(case: Case) -> None:
    """Enter a case; every name is used once, and every case says what it shows."""
    if case.name in CASES:
        raise ValueError(f"there are two cases called {case.name}")
    if not case.behaviour:
        raise ValueError(f"the case {case.name} does not say which behaviour it shows")
    CASES[case.name] = case


@overload
def case(body: Body, /) -> Body: ...
@overload
def case(*, needs: str) -> Callable[[Body], Body]: ...
def case(body: Body | None = None, /, *, needs: str = "") -> Body | Callable[[Body], Body]:
    """Enter the decorated generator as a sequential case under its own name."""

    def enter(body: Body) -> Body:
        subject = body.__module__.rpartition(".")[2]
        register(SequentialCase(subject, body.__name__, sentence(body.__doc__), frozenset(needs.split()), body))
        return body

    return enter if body is None else enter(body)


def sentence(docstring: str | None) -> str:
    """Give a docstring as one line."""
    return " ".join((docstring or "").split())
