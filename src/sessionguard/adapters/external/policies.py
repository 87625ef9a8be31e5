"""What an id that a client insists on can do: the policies, from what trusts nobody to what trusts everybody."""

from datetime import timedelta
from typing import Any, ClassVar, Final, Literal

from attrs import Attribute, field, frozen

from sessionguard.adapters.external.signing import valid_audience
from sessionguard.core.instants import with_unit
from sessionguard.core.tokens import KeyRing
from sessionguard.errors import ConfigurationError

ACCEPTANCE: Final = "I accept CWE-488/CWE-598"
"""What a program must say to let the possession of an id be enough."""

ExposedId = Literal["server", "external"]


def _keys(_: Any, __: "Attribute[KeyRing]", value: object) -> None:
    if not isinstance(value, KeyRing):
        remedy = 'give a KeyRing, such as KeyRing({"a": key}, current="a"), of which the integrator has the same keys'
        raise ConfigurationError("Signed.keys", type(value).__name__, remedy)


def _audience(_: Any, __: "Attribute[str]", value: object) -> None:
    valid_audience(value)


def _exposed(_: Any, __: "Attribute[str]", value: object) -> None:
    if value not in {"server", "external"}:
        raise ConfigurationError("Select.expose_id", value, 'give "server" or "external"')


def _flag(_: Any, attribute: "Attribute[bool]", value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"Select.{attribute.name}", value, "give True or False")


def _accepted(_: Any, __: "Attribute[str]", value: object) -> None:
    if value != ACCEPTANCE:
        raise ConfigurationError(
            "Bearer.unsafe_bearer_external_ids",
            value,
            "whoever sees a URL would have the session; take Select, Signed or Claim, or for a demonstration on "
            f'this machine give "{ACCEPTANCE}"',
        )


def _short(_: Any, __: "Attribute[timedelta]", value: object) -> None:
    if not isinstance(value, timedelta) or not timedelta(0) < value <= timedelta(hours=1):
        raise ConfigurationError("Bearer.lifetime", value, with_unit(value, "give a timedelta of at most an hour"))


@frozen
class Strict:
    """Only ids that the server gave, and only the caller's own. An id of the client's choice is not taken."""

    name: ClassVar[str] = "strict"
    expose_id: ClassVar[ExposedId] = "server"


@frozen(kw_only=True)
class Select:
    """The caller's own session of that name: two callers who pass the same id have two sessions."""

    name: ClassVar[str] = "select"
    expose_id: ExposedId = field(default="server", validator=_exposed)
    """Which of both ids answers call `session_id`; either selects the session."""
    creates_on_use: bool = field(default=True, validator=_flag)
    """Whether an authenticated caller who names a session for the first time gets one, be it by GET.

    Without, only `new-session` makes one, and to find it the caller's sessions are listed: a page for every hundred.
    """


@frozen(kw_only=True)
class Signed:
    """For visitors who do not log in here: the integrator's server signs the id (`sign_external_id`) for one use.

    The browser that uses it is bound to the session by a cookie; from then on it needs both, cookie and id.
    """

    name: ClassVar[str] = "signed"
    expose_id: ClassVar[ExposedId] = "external"
    keys: KeyRing = field(validator=_keys)
    audience: str = field(validator=_audience)
    """The name of this deployment. A signature for another one does not hold here."""


@frozen
class Claim:
    """Whoever names an unguessable id first has it, and is bound to it by a cookie; everybody else is told so.

    An attacker who learns the id before its user can keep him from it, and no more.
    """

    name: ClassVar[str] = "claim"
    expose_id: ClassVar[ExposedId] = "external"


@frozen(kw_only=True)
class Bearer:
    """Whoever has the id has the session. For demonstrations on one machine."""

    name: ClassVar[str] = "bearer"
    expose_id: ClassVar[ExposedId] = "external"
    unsafe_bearer_external_ids: str = field(validator=_accepted, repr=False)
    lifetime: timedelta = field(default=timedelta(minutes=15), validator=_short)
    """However busy, a session is over after this time, in which its id may have got about."""


Policy = Strict | Select | Signed | Claim | Bearer
POLICIES: Final = (Strict, Select, Signed, Claim, Bearer)
