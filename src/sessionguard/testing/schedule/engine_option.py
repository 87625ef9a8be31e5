"""The option `--sg-engine`: what counts as a point, and which event loop tasks run on."""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final

from attrs import frozen

from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.schedule.scenario import ScenarioFunction

_LOOPS: Final = ("asyncio", "uvloop", "trio")


@frozen
class EngineOption:
    """What was chosen: the points that are declared, io or every line of some modules beside them, or a real loop."""

    name: str = "declared"
    modules: tuple[str, ...] = ()
    """For "lines": the modules; none means the one in which the scenario is defined."""

    @classmethod
    def parse(cls, text: str) -> "EngineOption":
        """Give what the text says.

        Raises:
            InvalidArgumentError: it is none of the engines.
        """
        name, colon, modules = text.partition(":")
        is_known = name in ("declared", "io", "lines", *_LOOPS)
        if not is_known or (colon and (name != "lines" or not all(modules.split(",")))):
            remedy = f"it is declared, io, lines, lines:MODULE,MODULE or a loop for tasks: {', '.join(_LOOPS)}"
            raise InvalidArgumentError("--sg-engine", text, remedy)
        return cls(name, tuple(modules.split(",")) if colon else ())

    @property
    def argument(self) -> str:
        """What a command line says for it; empty for the default."""
        if self.name == "declared":
            return ""
        return f"--sg-engine={self.name}" + (f":{','.join(self.modules)}" if self.modules else "")

    def added_to(self, settings: Mapping[str, Any], scenario: ScenarioFunction) -> dict[str, Any]:
        """Give the fields of `Interleaver` that a test sets, and those that this engine sets beside them.

        Raises:
            InvalidArgumentError: a module whose lines are to be watched cannot be imported.
        """
        if self.name in _LOOPS:
            return {"loop": self.name, **settings}
        if self.name == "declared":
            return dict(settings)
        if self.name == "io":
            return {**settings, "io": True}
        for name in self.modules:
            _import(name)
        modules = self.modules or (_home_of(scenario),)
        return {**settings, "lines": tuple(dict.fromkeys((*settings.get("lines", ()), *modules)))}


def _import(name: str) -> None:
    # Its lines are watched only if it is there when the search begins; the scenario may import it later.
    try:
        import_module(name)
    except ImportError as error:
        raise InvalidArgumentError("--sg-engine", name, f"it cannot be imported: {error}") from error


def _home_of(scenario: ScenarioFunction) -> str:
    while isinstance(scenario, partial):
        scenario = scenario.func
    return scenario.__module__


DECLARED: Final = EngineOption()
