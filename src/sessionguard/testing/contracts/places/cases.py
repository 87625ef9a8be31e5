"""The register of cases: what every place for files must do."""

from collections.abc import Callable
from typing import Final, overload

from attrs import field, frozen

from sessionguard.testing.contracts.cases import sentence
from sessionguard.testing.contracts.places.site import Site

Body = Callable[[Site], None]


@frozen
class PlaceCase:
    """One behaviour that every place must show."""

    subject: str
    name: str
    behaviour: str
    """The behaviour in one sentence."""
    needs: frozenset[str]
    """Names of `PlaceCapabilities` without which the case is skipped."""
    play: Body = field(repr=False)
    """Returns if the place shows it, raises what is wrong otherwise."""


PLACE_CASES: Final[dict[str, PlaceCase]] = {}
"""Every case by its name, filled by the modules of this package as they are imported."""


@overload
def case(body: Body, /) -> Body: ...
@overload
def case(*, needs: str) -> Callable[[Body], Body]: ...
def case(body: Body | None = None, /, *, needs: str = "") -> Body | Callable[[Body], Body]:
    """Enter the decorated function as a case under its own name."""

    def enter(body: Body) -> Body:
        subject, behaviour = body.__module__.rpartition(".")[2], sentence(body.__doc__)
        if body.__name__ in PLACE_CASES or not behaviour:
            raise ValueError(f"the case {body.__name__} is there twice, or does not say which behaviour it shows")
        PLACE_CASES[body.__name__] = PlaceCase(subject, body.__name__, behaviour, frozenset(needs.split()), body)
        return body

    return enter if body is None else enter(body)
