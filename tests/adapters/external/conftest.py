"""Stages: the same application under every framework, on a store that needs nothing but Python."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from sessionguard import open_store
from sessionguard.adapters.external import ExternalIds, Policy
from tests.adapters.external.asgi_stage import AsgiApp
from tests.adapters.external.django_stage import DjangoApp
from tests.adapters.external.fastapi_stage import FastApiApp
from tests.adapters.external.flask_stage import FlaskApp
from tests.adapters.external.stage import Backstage, Stage
from tests.adapters.site import Clock

APPS: dict[str, Any] = {"flask": FlaskApp, "asgi": AsgiApp, "fastapi": FastApiApp, "django": DjangoApp}

BuildStage = Callable[..., Stage]


@pytest.fixture(scope="session", autouse=True)
def _folder() -> Iterator[None]:
    """Take away in the end what Django's project made."""
    yield
    shutil.rmtree(DjangoApp.FOLDER, ignore_errors=True)


@pytest.fixture(params=APPS)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BuildStage]:
    """Build stages: a policy, and further settings of `ExternalIds`; `caller` is given what gives a header."""
    app = APPS[request.param]
    built: list[tuple[Stage, Any]] = []

    def build(
        policy: Policy | None = None, *, url: str = "memory://", guard_policy: Any = None, **options: Any
    ) -> Stage:
        store: Any = open_store(url)
        clock = Clock()
        if "caller" in options:
            caller = options["caller"]
            options["caller"] = lambda request: caller(partial(app.header, request))
        ids = ExternalIds(clock=clock, **options)
        if policy is not None:
            ids = evolve(ids, policy=policy)
        back = Backstage(store, tmp_path / f"files-{len(built)}", ids, clock, guard_policy)
        built.append((Stage(app(back), back), store))
        return built[-1][0]

    yield build
    for made, store in built:
        made.app.close()
        made.back.guard.close()
        store.close()
