"""Stages: the same application under every framework, on a store that needs nothing but Python."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from sessionguard import open_store
from sessionguard.adapters.external import ExternalIds, Policy
from tests.adapters.external.flask_stage import FlaskApp
from tests.adapters.external.stage import App, Backstage, Stage
from tests.adapters.site import Clock

APPS: dict[str, Callable[[Backstage], App]] = {"flask": FlaskApp}

BuildStage = Callable[..., Stage]


@pytest.fixture(params=APPS)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BuildStage]:
    """Build stages: a policy, and further settings of `ExternalIds`."""
    built: list[tuple[Stage, Any]] = []

    def build(
        policy: Policy | None = None, *, url: str = "memory://", guard_policy: Any = None, **options: Any
    ) -> Stage:
        store: Any = open_store(url)
        clock = Clock()
        ids = ExternalIds(clock=clock, **options)
        if policy is not None:
            ids = evolve(ids, policy=policy)
        back = Backstage(store, tmp_path / f"files-{len(built)}", ids, clock, guard_policy)
        built.append((Stage(APPS[request.param](back), back), store))
        return built[-1][0]

    yield build
    for made, store in built:
        made.back.guard.close()
        store.close()
