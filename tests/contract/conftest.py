"""Which cases of the kit are played on further releases of an engine, or in another way of speaking to it."""

import re

import pytest

RACE = re.compile(r"\[(threads|tasks|processes|interleaved.*)\]$")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to longer runs the races of what is marked `variant`.

    They depend on our statements, and these are raced on the first release of each engine every time.
    """
    if config.getoption("--sg-profile") != "ci":
        return
    left_out = {item for item in items if _is_left_out(item)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _is_left_out(item: pytest.Item) -> bool:
    return item.get_closest_marker("variant") is not None and RACE.search(item.name) is not None
