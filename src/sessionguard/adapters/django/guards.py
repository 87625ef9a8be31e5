"""The guard of this process: opened at its first use by what the Django settings say, closed as the process exits."""

import atexit
import functools
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import frozen
from django.conf import settings as django_settings
from django.core.signals import setting_changed

from sessionguard.adapters import settings, streaming
from sessionguard.adapters.django.cookies import with_name
from sessionguard.adapters.django.databases import is_url, url_of_alias
from sessionguard.adapters.settings import PREFIX
from sessionguard.adapters.visits import VisitRules
from sessionguard.core.policy import SessionPolicy
from sessionguard.errors import ConfigurationError
from sessionguard.guard import SessionGuard

_log = logging.getLogger("sessionguard.adapters")

KNOWN: Final = streaming.KNOWN | {"STORE"}
"""Our settings in Django, without their prefix."""
_LIFETIME: Final = settings.TIMEOUTS | {"POLICY"}


@frozen
class Place:
    """Where the sessions of this process are."""

    guard: SessionGuard
    rules: VisitRules
    check_interval: timedelta | None
    """How often a streamed response looks whether its session is still open; None: never."""
    is_lent: bool = False
    """Whether somebody else opened the guard, and closes it."""

    @property
    def scope(self) -> str:
        """The kind that its sessions are of."""
        return self.rules.scope


# One at most. Threads that come together each make one, and `setdefault` says whose it is: a lock could be held by
# another thread at the moment of a fork.
_places: Final[dict[str, Place]] = {}
_HERE: Final = "here"


def place() -> Place:
    """Give the guard that `SESSIONGUARD_*` describe, the same one for every caller in this process, and its scope.

    Raises:
        ConfigurationError: a setting is wrong; the message names it.
    """
    found = _places.get(_HERE)
    if found is None:
        made = opened(read())
        found = _places.setdefault(_HERE, made)
        if found is not made:
            made.guard.close()
    return found


def serving() -> Place:
    """Give `place()` to a request; what is wrong with the settings stands in the log as well.

    Django answers with 500, and while `DEBUG` is off its own log says of that to nobody but `ADMINS`.
    """
    try:
        return place()
    except ConfigurationError as error:
        _tell(str(error))
        raise


# Once per process: it is about how the application is run, not about this request.
@functools.cache
def _tell(message: str) -> None:
    _log.error("no request with a session can be answered: %s", message)


def guard() -> SessionGuard:
    """Give the guard of this process."""
    return place().guard


def use(guard: SessionGuard) -> None:
    """Go on with `guard` in this process, whatever the settings say of one. It stays open until you close it."""
    found = _place(guard, read(), is_lent=True)
    close()
    _places[_HERE] = found


def close() -> None:
    """Go on without the guard of this process, which is closed unless it was lent; the next use opens another."""
    found = _places.pop(_HERE, None)
    if found is not None and not found.is_lent:
        found.guard.close()


def read() -> dict[str, Any]:
    """Give our settings, checked by name, without their prefix; the cookie's name may be what Django was told."""
    names = [name for name in dir(django_settings) if name.startswith(PREFIX)]
    return with_name(settings.read({name: getattr(django_settings, name) for name in names}, KNOWN))


def opened(values: Mapping[str, Any]) -> Place:
    """Open the guard that `values` describe; no store is asked yet."""
    given = "URL" if "URL" in values else "STORE"
    values = {name: value for name, value in values.items() if name != "STORE"} | {"URL": url_of(values)}
    if _LIFETIME.isdisjoint(values):
        values |= _timeouts_of_django()
    guard = _guard_of(values, given)
    return _place(guard, values)


def _guard_of(values: Mapping[str, Any], given: str) -> SessionGuard:
    if values["URL"] is None:
        raise ConfigurationError(PREFIX + given, None, 'give a name in DATABASES, such as "default", or a store URL')
    try:
        return settings.guard_of(values, SessionGuard, token_form="key")
    except ConfigurationError as error:
        if error.setting.startswith(PREFIX + "URL"):
            raise error.renamed(PREFIX + given + error.setting.removeprefix(PREFIX + "URL")) from error
        raise


def _place(guard: SessionGuard, values: Mapping[str, Any], *, is_lent: bool = False) -> Place:
    return Place(guard, settings.rules_of(values, guard), streaming.interval_of(values), is_lent=is_lent)


def url_of(values: Mapping[str, Any]) -> Any:
    """Give the store URL that `values` name, be it by a name in DATABASES; it may hold a password."""
    store = values.get("STORE")
    if store is None:
        return values.get("URL")
    if "URL" in values:
        raise ConfigurationError(PREFIX + "STORE", "(not shown)", f"give it or {PREFIX}URL, not both")
    if not isinstance(store, str) or not store:
        raise ConfigurationError(PREFIX + "STORE", store, "give a store URL, or a name in DATABASES")
    return store if is_url(store) else url_of_alias(store)


def _timeouts_of_django() -> dict[str, timedelta]:
    """Give timeouts that end no session before Django's own engines would, within a week or the cookie's age."""
    age = timedelta(seconds=django_settings.SESSION_COOKIE_AGE)
    if age <= timedelta(0):
        return {}
    return {"IDLE_TIMEOUT": age, "ABSOLUTE_TIMEOUT": max(age, SessionPolicy().absolute_timeout)}


def _changed(*, setting: str, **_: Any) -> None:
    found = _places.get(_HERE)
    if setting == "SESSION_COOKIE_NAME" and found is not None:
        _places[_HERE] = _place(found.guard, read(), is_lent=found.is_lent)
    elif not setting.startswith(PREFIX):
        return
    elif found is not None and found.is_lent:
        use(found.guard)
    else:
        close()


setting_changed.connect(_changed, dispatch_uid="sessionguard")
atexit.register(close)
