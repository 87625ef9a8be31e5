"""The fixture `store_contract`: the whole kit within one test of somebody else's."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from sessionguard.testing.contracts.capabilities import EVERYTHING, Capabilities
from sessionguard.testing.contracts.catalogue import CASES
from sessionguard.testing.contracts.factory import Factory, new_place
from sessionguard.testing.contracts.reporting import render
from sessionguard.testing.contracts.verdicts import Verdict, judge
from sessionguard.testing.profile import Profile


@frozen
class JudgeStore:
    """Puts a store to the kit, and fails the test with a report if a behaviour is missing."""

    folder: Path
    profile: Profile
    seed: int = 0
    replay: str | None = None
    """The only schedule of encounters to be played."""

    def __call__(
        self,
        make_store: Callable[..., Any],
        *,
        capabilities: Capabilities = EVERYTHING,
        cases: Collection[str] | None = None,
        modes: Collection[str] | None = None,
        yields: str | None = None,
    ) -> list[Verdict]:
        """Give the verdict on every case, or on the named ones, in every mode, or in the named ones.

        `make_store` takes a folder, new and empty for each case, and gives a store that keeps its sessions there, or
        takes nothing and gives a store with sessions of its own. `yields` is that of `StoreContract`, which gives a
        test for each case instead.

        Raises:
            InvalidArgumentError: it does not make a store.
            ValueError: a name is not that of a case.
        """
        __tracebackhide__ = True
        unknown = set(cases or ()) - CASES.keys()
        if unknown:
            raise ValueError(f"no case is called {', '.join(sorted(unknown))}")
        factory = Factory.of(make_store, getattr(make_store, "__name__", "make_store"))
        is_async = factory.probe(new_place(self.folder), capabilities)
        capabilities = evolve(capabilities, blocking=False) if is_async else capabilities
        chosen = [
            (case, mode)
            for case in CASES.values()
            for mode in case.modes
            if (cases is None or case.name in cases) and (modes is None or mode in modes)
        ]
        judged = list(self._complaints(factory, capabilities))
        for case, mode in chosen:
            candidate = factory.candidate(new_place(self.folder), capabilities, is_async)
            candidate = evolve(candidate, yields=yields, seed=self.seed, replay=self.replay)
            judged.append(judge(case, mode, candidate, self.profile))
        if not any(verdict.status == "ok" for verdict in judged) or any(v.status == "fail" for v in judged):
            pytest.fail(render(judged), pytrace=False)
        return judged

    def _complaints(self, factory: Factory, capabilities: Capabilities) -> Iterator[Verdict]:
        """Give a failure if the store lacks a verb, or has an ability that is declared missing."""
        if capabilities.blocking:
            store = factory.at(new_place(self.folder))()
            complaints = "\n".join(capabilities.complaints(store))
            getattr(store, "close", lambda: None)()
            if complaints:
                yield Verdict("the_capabilities_are_true", "", "fail", complaints)
