"""Whether a subclass of a kit still plays all of its cases, as the kit wrote them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

Counts = Mapping[str, int]
"""Name of a test -> in how many modes it is played."""


def refuse_touched(cls: type, guards: Mapping[str, Any]) -> None:
    """Return if a class overrides none of the tests that keep the kit whole.

    Raises:
        TypeError: it does.
    """
    touched = sorted(name for name in guards if getattr(cls, name, None) is not guards[name])
    if touched:
        raise TypeError(f"{cls.__name__} overrides {', '.join(touched)}, which keeps the kit whole; remove that")


def collected_beside(node: Any) -> Counter[str]:
    """Give how often pytest collects each test of the class of `node`."""
    collector = node.getparent(pytest.Class)
    # Asked anew, so that a selection on the command line is no alteration.
    return Counter(getattr(item, "originalname", item.name) for item in collector.collect())


def alterations(
    cls: Any, methods: Mapping[str, Callable[..., None]], modes: Counts, collected: Counts
) -> Iterator[str]:
    """Give what a class leaves out or changes of the tests of its kit without saying why."""
    for name in sorted(cls.xfail.keys() - {method.removeprefix("test_") for method in methods}):
        yield f"xfail names {name}, which is no case"
    for name, reason in cls.xfail.items():
        if not isinstance(reason, str) or not reason.strip():
            yield f"xfail names {name} without a reason"
    for name, method in methods.items():
        found = getattr(cls, name, None)
        if found is not method:
            if not _is_excused(found):
                yield f"{name} is overridden or removed without an xfail reason"
        elif collected[name] != modes[name]:
            yield f"{name} was collected {collected[name]} times"


def _is_excused(method: Any) -> bool:
    marks = getattr(method, "pytestmark", ())
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
