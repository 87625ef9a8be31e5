"""The pytest plugin: the profile, the markers and readable assertions of the kit; loading it costs next to nothing.

It is active as soon as sessionguard is installed, so it must never disturb a project that does not use it: it imports
nothing but pytest until one of its fixtures is asked for.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sessionguard.testing.profile import Profile
    from sessionguard.testing.schedule.fixture import Interleave

pytest.register_assert_rewrite("sessionguard.testing.contracts")

_MARKERS = (
    "processes: starts several operating-system processes",
    "timing: compares durations measured in the same run",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--sg-profile`, and how races are searched."""
    group = parser.getgroup("sessionguard")
    group.addoption(
        "--sg-profile",
        choices=("ci", "deep"),
        default="ci",
        help="how often sessionguard's proofs are repeated: ci (every case, fewer rounds) or deep (the counts that "
        "the promises name); default: ci",
    )
    group.addoption("--sg-seed", type=int, default=0, help="seed of ids, luck and random searches of schedules")
    group.addoption("--sg-schedules", type=int, help="how many schedules a search may run; default: by the profile")
    group.addoption("--sg-seconds", type=float, help="how long a search may take; default: by the profile")
    group.addoption("--sg-replay", metavar="ID", help="run only the schedule of this id, which a report printed")
    group.addoption("--sg-artifacts", metavar="DIR", help="folder for the reports (HTML, JSON) of races that are found")


def pytest_configure(config: pytest.Config) -> None:
    """Make the kit's markers known, so that strict projects need not list them."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session")
def sg_profile(request: pytest.FixtureRequest) -> "Profile":
    """The counts of this run: rounds, callers, processes, examples, as a frozen value."""
    from sessionguard.testing.profile import PROFILES

    return PROFILES[request.config.getoption("--sg-profile")]


@pytest.fixture
def interleave(request: pytest.FixtureRequest) -> "Interleave":
    """Race a scenario in many orders; what goes wrong in one fails the test, shrunk, with the id to repeat it."""
    from sessionguard.testing.schedule.fixture import from_options

    return from_options(request.config, request.node.name)
