"""Timeouts and limits of sessions, per scope, validated once."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from attrs import Attribute, field, frozen

from sessionguard.core.instants import duration_us, with_unit
from sessionguard.core.limits import ON_LIMIT, ActiveLimit, OnLimit
from sessionguard.core.records import Lifetime
from sessionguard.errors import ConfigurationError, InvalidArgumentError

ANY_SCOPE: Final = "*"
# Every engine can count so far, and no later instant than a `datetime` can hold follows from it.
_LONGEST: Final = timedelta(days=36_525)


def _positive_duration(_: Any, attribute: "Attribute[timedelta]", value: object) -> None:
    if not isinstance(value, timedelta):
        raise ConfigurationError(
            f"SessionPolicy.{attribute.name}", value, with_unit(value, "give a datetime.timedelta")
        )
    if value <= timedelta(0):
        raise ConfigurationError(f"SessionPolicy.{attribute.name}", value, "give a duration above zero")
    if value > _LONGEST:
        raise ConfigurationError(f"SessionPolicy.{attribute.name}", value, "give at most a hundred years")


def _optional_duration(instance: Any, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None:
        _duration(instance, attribute, value)


def _duration(instance: Any, attribute: "Attribute[Any]", value: object) -> None:
    if value != timedelta(0):
        _positive_duration(instance, attribute, value)


def _positive_count(_: Any, attribute: "Attribute[int]", value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ConfigurationError(f"SessionPolicy.{attribute.name}", value, "give a whole number above zero")


def _optional_count(instance: Any, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None:
        _positive_count(instance, attribute, value)


def _reaction(_: Any, attribute: "Attribute[OnLimit]", value: object) -> None:
    if value not in ON_LIMIT:
        known = ", ".join(map(repr, ON_LIMIT))
        raise ConfigurationError(f"SessionPolicy.{attribute.name}", value, f"give one of {known}")


@frozen(kw_only=True)
class SessionPolicy:
    """How long sessions of a scope live, how much they may hold, and how many of them one owner may have.

    The timeouts are written into each session when it is opened: a changed policy applies to sessions
    opened from then on. A lowered `max_active` holds from the next opening on.

    Raises:
        ConfigurationError: a value has the wrong type or range, or the timeouts contradict each other.
    """

    idle_timeout: timedelta = field(default=timedelta(hours=2), validator=_positive_duration)
    """A session not seen for this long has expired."""
    absolute_timeout: timedelta = field(default=timedelta(days=7), validator=_positive_duration)
    """A session this old has expired, however busy."""
    touch_interval: timedelta | None = field(default=None, validator=_optional_duration)
    """Being seen is written down at most this often, so a session may expire this much before its idle
    timeout. None: a twentieth of the idle timeout, at most one minute. Zero: at every load."""
    rotation_grace: timedelta = field(default=timedelta(seconds=20), validator=_duration)
    """For this long after a rotation the former token still loads the session (requests already under way)."""
    history_retention: timedelta = field(default=timedelta(days=30), validator=_positive_duration)
    """Ended sessions are kept as history for this long."""
    keep_ended_data: bool = False
    """Whether history keeps the data; otherwise it is erased as the session ends."""
    max_data_bytes: int = field(default=256 * 1024, validator=_positive_count)
    """The data as JSON in UTF-8 may take this many bytes."""
    max_data_depth: int = field(default=32, validator=_positive_count)
    """Lists and objects may be nested this deep."""
    workspace_bytes: int | None = field(default=1024**3, validator=_optional_count)
    """The files of a workspace may take this many bytes together. None: no limit."""
    workspace_files: int | None = field(default=10_000, validator=_optional_count)
    """A workspace may hold this many files. None: no limit."""
    owner_bytes: int | None = field(default=None, validator=_optional_count)
    """The files of all workspaces of one owner, in all scopes, may take this many bytes together. None: no limit."""
    owner_files: int | None = field(default=None, validator=_optional_count)
    """All workspaces of one owner, in all scopes, may hold this many files together. None: no limit."""

    max_active: int | None = field(default=None, validator=_optional_count)
    """One owner may have this many active sessions in the scope, in slots and beside them. None: any number."""
    on_limit: OnLimit = field(default="refuse", validator=_reaction)
    """What happens when one more is opened, or logs in: "refuse" it (`SessionLimitError`), or end others with the
    reason `limit`, as many as needed: "end_oldest", the first that were created, "end_idle_longest", those not seen for
    longest."""

    def __attrs_post_init__(self) -> None:
        if self.idle_timeout > self.absolute_timeout:
            raise ConfigurationError(
                "SessionPolicy.idle_timeout", self.idle_timeout, "it must not exceed absolute_timeout"
            )
        if self.touch_interval is not None and self.touch_interval >= self.idle_timeout:
            raise ConfigurationError(
                "SessionPolicy.touch_interval", self.touch_interval, "it must be below idle_timeout"
            )

    def lifetime(self) -> Lifetime:
        """Give what a session opened under this policy carries with it."""
        touch = self.touch_interval
        if touch is None:
            touch = min(self.idle_timeout / 20, timedelta(minutes=1))
        return Lifetime(
            idle_us=duration_us(self.idle_timeout),
            absolute_us=duration_us(self.absolute_timeout),
            touch_us=duration_us(touch),
            retention_us=duration_us(self.history_retention),
            keeps_data=self.keep_ended_data,
        )


@frozen
class ScopeRules:
    """A policy with what is derived from it once instead of at every call."""

    policy: SessionPolicy
    lifetime: Lifetime
    grace_us: int
    at_most: ActiveLimit | None

    @classmethod
    def of(cls, policy: SessionPolicy) -> "ScopeRules":
        """Derive the rules of `policy`."""
        most = policy.max_active
        at_most = None if most is None else ActiveLimit(most, policy.on_limit)
        return cls(policy, policy.lifetime(), duration_us(policy.rotation_grace), at_most)


class PolicyBook:
    """Answers which policy holds in a scope."""

    def __init__(self, policy: SessionPolicy | Mapping[str, SessionPolicy] | None) -> None:
        if policy is None:
            policy = SessionPolicy()
        entries = {ANY_SCOPE: policy} if isinstance(policy, SessionPolicy) else policy
        if not isinstance(entries, Mapping) or not entries:
            raise ConfigurationError("policy", policy, "give a SessionPolicy or a mapping from scope to SessionPolicy")
        for scope, entry in entries.items():
            if not isinstance(entry, SessionPolicy):
                raise ConfigurationError(f"policy[{scope!r}]", entry, "give a SessionPolicy")
        self._rules: Mapping[str, ScopeRules] = MappingProxyType(
            {scope: ScopeRules.of(entry) for scope, entry in entries.items()}
        )
        self._fallback = self._rules.get(ANY_SCOPE)
        self.limits_owners = any(
            entry.owner_bytes is not None or entry.owner_files is not None for entry in entries.values()
        )
        """Whether any scope limits what all workspaces of an owner may hold together."""
        self.limits_sessions = any(entry.max_active is not None for entry in entries.values())
        """Whether any scope limits how many sessions an owner may have in it."""

    def rules(self, scope: str) -> ScopeRules:
        """Give the rules of `scope`, which falls back to the entry "*".

        Raises:
            InvalidArgumentError: the mapping has neither the scope nor "*".
        """
        rules = self._rules.get(scope, self._fallback)
        if rules is None:
            known = ", ".join(sorted(self._rules))
            raise InvalidArgumentError("scope", scope, f"the policy mapping has no entry for it (it has: {known})")
        return rules
