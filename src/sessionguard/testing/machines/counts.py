"""The settings that suit machines over guards, with the counts of the profile that this run was started with."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings

from sessionguard.testing.profile import PROFILES, Profile
from sessionguard.testing.running_profile import running_profile


def machine_settings(profile: Profile | None = None, **changes: Any) -> settings:
    """Give settings for machines over guards; `changes` are fields of `settings`.

    The counts are those of `profile`: by default the one that `--sg-profile` names, and "ci" without pytest. Nothing
    has a deadline, for a store may be slow. Under "ci" every run draws the same traces, so what fails was caused by
    the change that is tested; "deep" looks further each time. The first failure ends the search.
    """
    profile = profile or PROFILES[running_profile()]
    chosen: dict[str, Any] = {
        "max_examples": profile.examples,
        "stateful_step_count": profile.steps,
        "derandomize": profile.name == "ci",
        "deadline": None,
        "database": None,
        "phases": (Phase.generate, Phase.shrink),
        "suppress_health_check": list(HealthCheck),
        "report_multiple_bugs": False,
    }
    return settings(**{**chosen, **changes})
