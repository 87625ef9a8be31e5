"""The differences between a blocking class and its async twin."""

import inspect
from collections.abc import Iterator

TWINS = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__", "__next__": "__anext__"}


def differences(blocking: type, asynchronous: type) -> list[str]:
    """List where the two classes differ in public names, their order, kind, parameters or first docstring line."""
    ours, theirs = _public_members(blocking), _public_members(asynchronous)
    found = [f"{name}: only on {blocking.__name__}" for name in ours if name not in theirs]
    found += [f"{name}: only on {asynchronous.__name__}" for name in theirs if name not in ours]
    shared = [name for name in ours if name in theirs]
    if shared != [name for name in theirs if name in ours]:
        found.append("the public names stand in another order")
    for name in shared:
        found += [f"{name}: {difference}" for difference in _member_differences(ours[name], theirs[name])]
    return found


def _public_members(owner: type) -> dict[str, object]:
    members: dict[str, object] = {}
    for base in reversed(owner.__mro__[:-1]):
        for name, member in vars(base).items():
            if not name.startswith("_") or name in TWINS or name in TWINS.values():
                members[_blocking_name(name)] = member
    return members


def _blocking_name(name: str) -> str:
    return next((blocking for blocking, asynchronous in TWINS.items() if name == asynchronous), name)


def _member_differences(ours: object, theirs: object) -> Iterator[str]:
    if type(ours) is not type(theirs) and not (inspect.isroutine(ours) and inspect.isroutine(theirs)):
        yield f"a {type(ours).__name__} here, a {type(theirs).__name__} there"
        return
    if _first_line(ours) != _first_line(theirs):
        yield f"first docstring lines {_first_line(ours)!r} and {_first_line(theirs)!r}"
    if _parameters(ours) != _parameters(theirs):
        yield f"parameters {_parameters(ours)} and {_parameters(theirs)}"


def _first_line(member: object) -> str:
    return (inspect.getdoc(member) or "").partition("\n")[0]


def _parameters(member: object) -> list[str]:
    function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
    if not callable(function):
        return []
    parameters = inspect.signature(function).parameters.values()
    # Annotations differ by right (`Store` and `AsyncStore`); names, order, kinds and defaults do not.
    return [str(parameter.replace(annotation=inspect.Parameter.empty)) + _kind(parameter) for parameter in parameters]


def _kind(parameter: inspect.Parameter) -> str:
    return f" ({parameter.kind.description})"
