"""How requests of one session go side by side, for an application and for single views of it."""

from collections.abc import Callable
from threading import Event
from typing import Any, Final, Literal, TypeVar

from attrs import frozen

from sessionguard.errors import ConfigurationError

Concurrency = Literal["merge", "strict", "serial"]
View = TypeVar("View", bound=Callable[..., Any])

CONCURRENCIES: Final = ("merge", "strict", "serial")
_MARK: Final = "sessionguard_mode"
_marks_exist: Final = Event()


@frozen
class Mode:
    """How one request treats its session.

    merge: fields written by different requests all survive. strict: a request whose session changed since it
    was loaded is refused. serial: the requests of one session run one at a time.
    """

    concurrency: Concurrency = "merge"
    is_read_only: bool = False
    """It writes nothing, so it waits for nobody, whatever the concurrency of the application."""

    @property
    def takes_turns(self) -> bool:
        """Whether the request waits for those of its session before it."""
        return self.concurrency == "serial" and not self.is_read_only


READ_ONLY: Final = Mode("merge", is_read_only=True)


def concurrency(mode: Concurrency) -> Callable[[View], View]:
    """Give the decorator that has a view run in `mode`, whatever the application's is.

    It marks the function and gives it back, so it may stand above or below the decorators of the framework that keep
    the attributes of what they wrap.

    Raises:
        ConfigurationError: `mode` is none of "merge", "strict" and "serial".
    """
    if mode not in CONCURRENCIES:
        raise ConfigurationError("concurrency", mode, 'give "merge", "strict" or "serial"')
    return _marking(Mode(mode))


def read_only(view: View) -> View:
    """Let `view` look at the session and nothing more: it costs no write and no lock; writing is a `MisuseError`."""
    return _marking(READ_ONLY)(view)


def mode_of(view: object, default: Mode) -> Mode:
    """Give the mode that `view` is marked with, or `default`; a view that is a class or bound method counts as well."""
    mode = getattr(view, _MARK, None)
    return mode if isinstance(mode, Mode) else default


def is_any_view_marked() -> bool:
    """Tell whether any view of this process was marked, so that adapters that must look for marks need not always."""
    return _marks_exist.is_set()


def _marking(mode: Mode) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _MARK, mode)
        _marks_exist.set()
        return view

    return mark
