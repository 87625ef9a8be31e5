"""Behind a shared cache that keeps all it may: real nginx, real Varnish, and two visitors at the same address."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.adapters.served.fronts import Front
from tests.adapters.served.gates import SECONDS
from tests.adapters.served.serving import WebServer
from tests.adapters.served.visitors import Visitor, set_cookies

pytestmark = pytest.mark.processes

SAME = ["/me", "/account/overview", "/account/x.css"]


@pytest.fixture
def two(front_on_sqlite: Front, cache: WebServer, owner: str) -> list[Visitor]:
    """Two visitors who have logged in, before the cache."""
    both = []
    for number in (1, 2):
        visitor = Visitor(front_on_sqlite.url)
        visitor.post("/login", owner=f"{owner}-{number}")
        both.append(visitor.at(cache.url))
    return both


def ask_at_once(asked: list[tuple[Visitor, str]], name: str) -> list[str]:
    """Give what each visitor is shown at his address, where all ask together; no cache knows addresses with `name`."""
    start = Barrier(len(asked), timeout=SECONDS)

    def ask(visitor: Visitor, path: str) -> str:
        start.wait()
        return visitor.get(path, of=name).text

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(ask, *zip(*asked, strict=True)))


def test_t40_bodies_never_cross(two: list[Visitor], cache: WebServer, owner: str) -> None:
    """Visitors who ask for the same addresses at once each see their own, and who comes later sees nobody's."""
    everybody = [*two, Visitor(cache.url)]
    asked = [(visitor, path) for path in SAME for visitor in everybody]
    shown = ask_at_once(asked, owner)
    shown += [visitor.get(path, of=owner).text for visitor, path in asked]
    names = [f"{owner}-1", f"{owner}-2"]
    for (visitor, _), text in zip(asked * 2, shown, strict=True):
        assert [name in text for name in names] == [visitor is one for one in two]


def test_t40_cookies_never_cross(cache: WebServer, owner: str) -> None:
    """Of visitors who are given a session by the same address at once, each gets a cookie of his own."""
    newcomers = [Visitor(cache.url) for _ in range(4)]
    ask_at_once([(visitor, "/visit") for visitor in newcomers], owner)
    newcomers.append(Visitor(cache.url))
    assert newcomers[-1].get("/visit", of=owner).json() == {"visits": 1}
    tokens = {visitor.token for visitor in newcomers}
    assert len(tokens) == len(newcomers)
    assert None not in tokens
    assert not set_cookies(newcomers[0].get("/visit", of=owner))
    assert newcomers[0].get("/me").json()["data"] == {"visits": 2}


def test_without_the_headers_they_cross(two: list[Visitor], owner: str) -> None:
    """A view that answers by hand, without the headers, shows the same cache giving one visitor's page to the other."""
    first, second = (visitor.get("/by-hand/x.css", of=owner).text for visitor in two)
    assert first == second
