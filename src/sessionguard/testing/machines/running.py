"""How a machine is run: as one call, with settings that suit it."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sessionguard.testing.machines.hand import AnyGuard, MakeGuard
from sessionguard.testing.machines.machine import SessionGuardMachine
from sessionguard.testing.machines.place import Place
from sessionguard.testing.profile import CI, Profile


def machine_settings(profile: Profile = CI, **changes: Any) -> settings:
    """Give settings for machines over guards, with the counts of a profile; `changes` are fields of `settings`.

    Nothing has a deadline, for a store may be slow. Under the profile "ci" every run draws the same traces, so
    what fails was caused by the change that is tested; "deep" looks further each time.
    """
    chosen: dict[str, Any] = {
        "max_examples": profile.examples,
        "stateful_step_count": profile.steps,
        "derandomize": profile.name == "ci",
        "deadline": None,
        "database": None,
        "phases": (Phase.generate, Phase.shrink),
        "suppress_health_check": list(HealthCheck),
    }
    return settings(**{**chosen, **changes})


def run_guard_machine(
    make_guard: MakeGuard,
    settings: settings | None = None,
    *,
    machine: type[SessionGuardMachine] = SessionGuardMachine,
    **attributes: Any,
) -> None:
    """Play traces on the guards that `make_guard` makes; raises with the shortest one that goes wrong.

    `make_guard` is given a `Place`; it is that of `SessionGuardMachine`. `attributes` are set on the machine, such as
    `scopes` and `schedules`.
    """

    def made(self: SessionGuardMachine, place: Place) -> AnyGuard:
        return make_guard(place)

    chosen = type(machine.__name__, (machine,), {**attributes, "make_guard": made})
    run_state_machine_as_test(chosen, settings=settings or machine_settings())
