"""The application under every framework, each with a store of its own."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sessionguard import open_store
from sessionguard.testing import CI, Profile
from tests.adapters.every.awaiting_apps import AsgiApp, FastApiApp, FastApiThreads
from tests.adapters.every.blocking_apps import FlaskApp, WsgiApp
from tests.adapters.every.django_apps import DjangoApp, DjangoAsgiApp
from tests.adapters.every.house import House

FRAMEWORKS: dict[str, Any] = {
    "flask": FlaskApp,
    "fastapi": FastApiApp,
    "fastapi, threads": FastApiThreads,
    "django, wsgi": DjangoApp,
    "django, asgi": DjangoAsgiApp,
    "asgi": AsgiApp,
    "wsgi": WsgiApp,
}

Build = Callable[..., House]


@pytest.fixture(scope="session", autouse=True)
def _folder() -> Iterator[None]:
    """Take away in the end what Django's project made."""
    yield
    DjangoApp.clean_up()


@pytest.fixture(params=FRAMEWORKS)
def build(request: pytest.FixtureRequest, tmp_path: Path, sg_profile: Profile) -> Iterator[Build]:
    """Build the application, in long runs over a file; keyword arguments are a policy, and settings."""
    built: list[tuple[House, Any]] = []
    numbers = count(1)

    def let_go() -> None:
        while built:
            house, store = built.pop()
            house.close()
            store.close()

    def build_house(policy: Any = None, **config: Any) -> House:
        # Django's settings are those of the process: there is one application at a time.
        let_go()
        files = tmp_path / f"{next(numbers)}"
        files.mkdir()
        store: Any = open_store("memory://" if sg_profile is CI else f"sqlite:///{files}/sessions.db")
        house = House(FRAMEWORKS[request.param], store, files / "workspaces", policy, config)
        built.append((house, store))
        return house

    yield build_house
    let_go()


@pytest.fixture
def house(build: Build) -> House:
    """Give the application with the default settings."""
    return build()
