"""How a request is to treat its session, known before anything of the application runs.

A mark stands on a view, and which view it will be only the application's router knows. Asked beforehand: later, when
the view or its dependencies run, the session has been looked at, and a turn would be taken too late. No framework is
imported for it. A router that has `routes`, each with `matches(scope)`, is asked as Starlette's router asks itself.
"""

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final

from sessionguard.adapters import modes
from sessionguard.adapters.modes import CONCURRENCIES, Concurrency, Mode, mode_of
from sessionguard.errors import ConfigurationError, MisuseError

Scope = MutableMapping[str, Any]
Choice = Callable[[Scope], Concurrency | Mode | None]

_FULL: Final = "FULL"


def mode_for(scope: Scope, app: Any, default: Mode, choice: Choice | None) -> Mode:
    """Give the mode of the view that will answer, else what `choice` says of the request, else `default`."""
    mode = default if choice is None else _chosen(choice(scope), default)
    if not modes.is_any_view_marked():
        return mode
    marked = mode_of(app, mode)
    routes = _routes_of(scope.get("app")) or _routes_of(app)
    view = None if routes is None else _view_in(routes, dict(scope))
    return mode_of(view, marked)


def _chosen(value: Concurrency | Mode | None, default: Mode) -> Mode:
    if value is None:
        return default
    if isinstance(value, Mode):
        return value
    if value not in CONCURRENCIES:
        remedy = 'have the function give "merge", "strict", "serial", a Mode or None'
        raise ConfigurationError("concurrency", value, remedy)
    return Mode(value)


def _routes_of(app: Any) -> Iterable[Any] | None:
    """Give the routes of the application, or of that which other middleware wraps."""
    while app is not None:
        routes = getattr(app, "routes", None)
        if isinstance(routes, list):
            return routes
        app = getattr(app, "app", None)
    return None


def _view_in(routes: Iterable[Any], scope: Scope) -> Any:
    for route in routes:
        match, child = route.matches(scope)
        if match.name == _FULL:
            return _view_of(route, child, scope)
    return None


def _view_of(route: Any, child: Scope, scope: Scope) -> Any:
    if hasattr(route, "original_router"):
        return _view_of_included(route, scope)
    view = child.get("endpoint")
    scope.update(child)
    # A mounted application: its own routes say which view.
    below = _routes_of(view)
    return view if below is None else _view_in(below, scope)


def _view_of_included(route: Any, scope: Scope) -> Any:
    """Give the view behind FastAPI's include_router, which new releases look through only as they answer."""
    try:
        _, child, inner, _ = route._match(scope)
    except (AttributeError, TypeError, ValueError) as error:
        remedy = "marks behind include_router cannot be seen in this release of FastAPI; give `concurrency` a function"
        raise MisuseError(remedy) from error
    return None if inner is None else _view_of(inner, child, scope)
