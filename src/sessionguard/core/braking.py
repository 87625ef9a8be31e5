"""The brake of a clean-up: when suddenly a large share of all sessions is due, a person should look first.

That many expire together hardly ever means that their users left together. It means a clock that jumped, a restored
backup, a policy whose unit was mistaken, or that nobody swept for long; and what was ended is not brought back.
"""

from collections.abc import Callable
from typing import Any

from attrs import Attribute, field, frozen

from sessionguard.errors import ConfigurationError


def _share(_: Any, attribute: "Attribute[float]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ConfigurationError(
            "SweepBrake.share", value, "give a number above zero and below one; brake=None turns the brake off"
        )


def _floor(_: Any, attribute: "Attribute[int]", value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError("SweepBrake.floor", value, "give a whole number above zero")


@frozen(kw_only=True)
class SweepBrake:
    """A pass that finds more than `share` of the active sessions due ends none of them, if they are `floor` or more.

    Raises:
        ConfigurationError: a value has the wrong type or range.
    """

    share: float = field(default=0.2, validator=_share)
    """Of the sessions that nobody has ended. In everyday use a pass each minute finds about a hundredth due, with the
    default idle timeout of two hours."""
    floor: int = field(default=100, validator=_floor)
    """Fewer due sessions never stop a pass, so that small installations are not stopped by a quiet evening."""


class Alarm:
    """Tells something once, and again only after it was over."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._is_on = False

    def ring(self, text: str) -> None:
        """Tell it, if it was not told since it was last over."""
        if not self._is_on:
            self._is_on = True
            self._tell(text)

    def end(self) -> None:
        """It is over."""
        self._is_on = False


def valid_brake(brake: object) -> SweepBrake | None:
    """Give `brake` if it is one or None, else raise `ConfigurationError`."""
    if brake is not None and not isinstance(brake, SweepBrake):
        raise ConfigurationError("brake", brake, "give SweepBrake(share=..., floor=...), or None to turn it off")
    return brake
