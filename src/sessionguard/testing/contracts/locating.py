"""Where the code of a store is that declares no points: the modules whose lines can be watched instead.

They are those of its class, of the bases of it, and of the objects that it is made of, as far as those are of the same
packages. What is of Python itself or of somebody else's driver is no work of the store; what is written in C has no
lines.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sessionguard.core import points
from sessionguard.core.driving import run
from sessionguard.testing.contracts.asking import a_little_of_all
from sessionguard.testing.schedule.lines import Lines

_MOST_OBJECTS: Final = 50
_SLOTS: Final = "__slots__"
_OURS: Final = "sessionguard"
_OUR_STORES: Final = ("sessionguard.stores", "sessionguard.testing")


def objects_of(store: Any) -> list[Any]:
    """Give the store, and the objects of its packages that it holds, however deep, as attributes."""
    packages = {name.partition(".")[0] for name in _modules_of_class(type(store))}
    found, to_look = [store], [store]
    while to_look and len(found) < _MOST_OBJECTS:
        for part in _attributes(to_look.pop()):
            is_new = all(part is not each for each in found)
            if is_new and type(part).__module__.partition(".")[0] in packages and any(_modules_of_class(type(part))):
                found.append(part)
                to_look.append(part)
    return found


def modules_of(store: Any) -> tuple[str, ...]:
    """Give the modules whose lines are the work of the store; none if it is not written in Python."""
    names = (name for part in objects_of(store) for name in _modules_of_class(type(part)))
    return tuple(dict.fromkeys(names))


def lines_of(store: Any, modules: Sequence[str]) -> int:
    """Give how many lines of these modules the store comes to as it is asked four things; 0 if there are no modules."""
    heard: list[str] = []
    lines = Lines(modules)
    with points.installed(lambda label, resource, mode: heard.append(label)), lines.watching():
        lines.around(lambda: run(a_little_of_all("nobody in particular"), store))()
    return len(heard)


def _modules_of_class(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        if not vars(base).get("_is_protocol", False) and _is_work_of_a_store(base.__module__):
            yield base.__module__


def _is_work_of_a_store(name: str) -> bool:
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names or (package == _OURS and not name.startswith(_OUR_STORES)):
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and str(file).endswith(".py")


def _attributes(part: Any) -> Iterator[Any]:
    yield from list(getattr(part, "__dict__", {}).values())
    for base in type(part).__mro__:
        slots = vars(base).get(_SLOTS, ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if hasattr(part, name):
                yield getattr(part, name)
