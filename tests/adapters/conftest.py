"""A site on every store that needs nothing but Python."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessionguard import open_store
from tests.adapters.site import Site

BuildSite = Callable[..., Site]


@pytest.fixture(params=["memory", "sqlite"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BuildSite]:
    """Build sites, each with a store of its own; keyword arguments are those of `Site`."""
    built: list[tuple[Site, Any]] = []

    def build_site(**options: Any) -> Site:
        url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/sessions-{len(built)}.db"
        store: Any = open_store(url)
        site = Site(store, tmp_path / f"workspaces-{len(built)}", **options)
        built.append((site, store))
        return site

    yield build_site
    for site, store in built:
        site.guard.close()
        store.close()


@pytest.fixture
def site(build: BuildSite) -> Site:
    """Give a site with the default settings."""
    return build()
