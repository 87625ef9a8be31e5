"""How a machine is run as one call."""

from typing import Any

from hypothesis import settings

from sessionguard.testing.machines.collecting import play_machine
from sessionguard.testing.machines.counts import machine_settings
from sessionguard.testing.machines.hand import AnyGuard, MakeGuard
from sessionguard.testing.machines.machine import SessionGuardMachine
from sessionguard.testing.machines.place import Place


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
    play_machine(chosen, settings or machine_settings())
