"""Names of the form `module:function`: what they stand for, and what somebody gave by one, found again."""

import sys
from functools import reduce
from importlib import import_module
from typing import Any

from sessionguard.errors import InvalidArgumentError


def load(name: str, argument: str = "name") -> Any:
    """Give what `module:function` names; `argument` is what errors call it. The function may be `Class.method`.

    Raises:
        InvalidArgumentError: it has another form, there is no such module or function, or importing the module failed.
    """
    module, colon, path = name.partition(":")
    if not colon or not module or not path:
        raise InvalidArgumentError(argument, name, "give it as module:function, such as shop.stores:make_store")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            remedy = f"there is no module {error.name!r} in this folder or among what is installed"
        else:
            remedy = f"importing it failed: {error}"
        raise InvalidArgumentError(argument, name, remedy) from error
    except Exception as error:
        raise InvalidArgumentError(argument, name, f"importing it failed: {type(error).__name__}: {error}") from error
    try:
        return reduce(getattr, path.split("."), found)
    except AttributeError:
        offered = ", ".join(sorted(each for each in vars(found) if not each.startswith("_"))[:12])
        raise InvalidArgumentError(
            argument, name, f"{module} has no {path!r}; it has {offered or 'no names'}"
        ) from None


def name_of(function: object) -> str | None:
    """Give the name by which `load` finds this very object again, or None if it has none, as what is local."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(path, str) or "<" in path:
        return None
    try:
        found: object = reduce(getattr, path.split("."), sys.modules[module])
    except (KeyError, AttributeError):
        return None
    return f"{module}:{path}" if found is function else None
