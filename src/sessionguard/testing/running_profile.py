"""The name of the profile of this run, for what is made before a test could ask for the fixture."""

from typing import Final

_names: Final = ["ci"]


def running_profile() -> str:
    """Give the name of the profile that pytest was started with; "ci" without pytest."""
    return _names[-1]


def begin_run(name: str) -> None:
    """Let this be the profile, until `end_run`; runs within runs have their own."""
    _names.append(name)


def end_run() -> None:
    """Go back to the profile of before."""
    if len(_names) > 1:
        _names.pop()
