"""Served applications, started when first asked for and shared by all tests of this process."""

import itertools
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.adapters.served.caches import CACHES
from tests.adapters.served.fronts import ENGINES, FRONTS, Front
from tests.adapters.served.serving import WebServer
from tests.adapters.served.visitors import Visitor
from tests.conftest import installed

ServeOn = Callable[[str], Front]
_served: dict[str, Front] = {}
_caches: dict[str, WebServer] = {}
_names = itertools.count(1)


@pytest.fixture(scope="session", params=FRONTS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """One application under one server after the other; what was started of one is ended before the next."""
    yield request.param
    for started in (_caches, _served):
        while started:
            started.popitem()[1].close()


@pytest.fixture
def serve(kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ServeOn:
    """Give the application on an engine."""

    def give(engine: str) -> Front:
        if engine not in _served:
            front = Front(kind, tmp_path_factory.mktemp(kind), _engine_url(request, engine))
            _served[engine] = front
            front.start()
        return _served[engine]

    return give


def _engine_url(request: pytest.FixtureRequest, engine: str) -> str | None:
    if engine == "sqlite":
        return None
    url = request.getfixturevalue(f"{engine}_server").url
    return f"{url}?{'schema' if engine == 'postgres' else 'prefix'}=served{next(_names)}"


@pytest.fixture(params=ENGINES)
def front(request: pytest.FixtureRequest, serve: ServeOn) -> Front:
    """The application on every engine."""
    return serve(request.param)


@pytest.fixture
def front_on_sqlite(serve: ServeOn) -> Front:
    """The application on one engine."""
    return serve("sqlite")


@pytest.fixture(params=CACHES)
def cache(request: pytest.FixtureRequest, front_on_sqlite: Front) -> WebServer:
    """A cache of each kind before that; what other tests have asked for may be in it."""
    if request.param not in _caches:
        _caches[request.param] = installed(lambda: CACHES[request.param](front_on_sqlite.server))
        _caches[request.param].start()
    return _caches[request.param]


@pytest.fixture
def owner() -> str:
    """The name of somebody who is in no other test."""
    return f"ana-{next(_names)}"


@pytest.fixture
def visitor(front: Front, owner: str) -> Visitor:
    """Somebody who has logged in."""
    visitor = Visitor(front.url)
    assert visitor.post("/login", owner=owner).status_code == 200
    return visitor


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the servers wrote where a test fails."""
    report = yield
    if report.failed:
        servers = [*(front.server for front in _served.values()), *_caches.values()]
        report.sections += [(f"log of {server!r}", server.log) for server in servers if server.folder is not None]
    return report
