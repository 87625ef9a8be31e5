"""The pytest plugin: the profile, the markers and readable assertions of the kit; loading it costs next to nothing.

It is active as soon as sessionguard is installed, so it must never disturb a project that does not use it: it imports
nothing but pytest until one of its fixtures is asked for.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sessionguard.testing.profile import Profile

pytest.register_assert_rewrite("sessionguard.testing.contracts")

_MARKERS = (
    "processes: starts several operating-system processes",
    "timing: compares durations measured in the same run",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--sg-profile`."""
    parser.getgroup("sessionguard").addoption(
        "--sg-profile",
        choices=("ci", "deep"),
        default="ci",
        help="how often sessionguard's proofs are repeated: ci (every case, fewer rounds) or deep (the counts that "
        "the promises name); default: ci",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the kit's markers known, so that strict projects need not list them."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session")
def sg_profile(request: pytest.FixtureRequest) -> "Profile":
    """The counts of this run: rounds, callers, processes, examples, as a frozen value."""
    from sessionguard.testing.profile import PROFILES

    return PROFILES[request.config.getoption("--sg-profile")]
