"""What is the same for every request of an application."""

from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from attrs import Attribute, field, frozen

from sessionguard.adapters.http import Transport
from sessionguard.adapters.modes import CONCURRENCIES, Concurrency, Mode
from sessionguard.adapters.visits.resolved import told_of
from sessionguard.async_guard import AsyncSessionGuard
from sessionguard.core.arguments import valid_text
from sessionguard.core.events import Event
from sessionguard.core.instants import with_unit
from sessionguard.errors import ConfigurationError, InvalidArgumentError
from sessionguard.guard import SessionGuard

if TYPE_CHECKING:
    from sessionguard.adapters.external import ExternalIds

NEEDS_BLOCKING: Final = "views of this framework run in threads; give a SessionGuard, which blocks"
_NO_EXTERNAL: Final = (
    'give ExternalIds(policy=...), such as Select(), or None; "strict", "select" and "claim" are values of the setting '
    "SESSIONGUARD_EXTERNAL_IDS"
)
_DEFAULT_WAIT: Final = timedelta(seconds=10)


def _concurrency(_: Any, __: "Attribute[str]", value: object) -> None:
    if value not in CONCURRENCIES:
        raise ConfigurationError("SESSIONGUARD_CONCURRENCY", value, 'give "merge", "strict" or "serial"')


def _wait(_: Any, __: "Attribute[timedelta]", value: object) -> None:
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ConfigurationError("SESSIONGUARD_LOCK_TIMEOUT", value, with_unit(value, "give a timedelta above zero"))


def _transport(_: Any, __: "Attribute[Transport]", value: object) -> None:
    if isinstance(value, type) or not hasattr(value, "request_header"):
        remedy = "give CookieSettings(...) or HeaderSettings(...) from sessionguard.adapters.http"
        raise ConfigurationError("transport", value, remedy)


def _scope(_: Any, __: "Attribute[str]", value: str) -> None:
    try:
        valid_text("scope", value)
    except InvalidArgumentError as error:
        raise ConfigurationError("SESSIONGUARD_SCOPE", value, error.remedy) from None


@frozen(kw_only=True)
class VisitRules:
    """The guard of an application, how tokens reach it, and how requests of one session go side by side."""

    guard: SessionGuard | AsyncSessionGuard
    transport: Transport = field(validator=_transport)
    scope: str = field(default="default", validator=_scope)
    concurrency: Concurrency = field(default="merge", validator=_concurrency)
    """What holds for views without a mark of their own (`sessionguard.adapters.modes`)."""
    lock_timeout: timedelta = field(default=_DEFAULT_WAIT, validator=_wait)
    """How long a request waits for those before it in serial mode."""
    external: "ExternalIds | None" = None
    """How sessions that other programs name are treated; None: there are none."""
    mode: Mode = field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.external is not None:
            check = getattr(self.external, "required_beside", None)
            if check is None:
                raise ConfigurationError("external", self.external, _NO_EXTERNAL)
            check(self.scope, self.transport)
        object.__setattr__(self, "mode", Mode(self.concurrency))
        _watch(self.guard)


# Once each: several applications over one guard would tell of one lost context several times, and a reload of the
# settings would leave the former subscription behind.
_watched: Final[WeakSet[SessionGuard | AsyncSessionGuard]] = WeakSet()
_watching: Final = Lock()


def _watch(guard: SessionGuard | AsyncSessionGuard) -> None:
    """Have `guard` tell of every context that a request loses."""

    def tell(event: Event) -> None:
        lost = told_of(event)
        if lost is not None:
            guard.publish(lost)

    with _watching:
        if guard in _watched:
            return
        _watched.add(guard)
    guard.subscribe(tell)
