"""An ASGI site on every store that needs nothing but Python, with a guard that awaits and with one that blocks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionguard import open_store
from tests.adapters.asgi.asgi_site import AsgiSite

BuildSite = Callable[..., AsgiSite]


@pytest.fixture(params=["memory", "sqlite", "sqlite, blocking"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BuildSite]:
    """Build sites, each with a store of its own; keyword arguments are those of `AsgiSite`."""
    built: list[Any] = []
    engine, _, kind = request.param.partition(", ")

    def build_site(**options: Any) -> AsgiSite:
        store: Any = open_store("memory://" if engine == "memory" else f"sqlite:///{tmp_path}/{len(built)}.db")
        site = AsgiSite(store, is_blocking=kind == "blocking", **options)
        built.extend([site, store])
        return site

    yield build_site
    for each in built:
        each.close()


@pytest.fixture
def site(build: BuildSite) -> AsgiSite:
    """Give a site with the default settings."""
    return build()
