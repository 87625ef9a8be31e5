"""The whole kit without pytest: play every case on a store and give what came of it."""

import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal

from attrs import frozen

from sessionguard.testing.contracts.candidate import Candidate, MakeStore
from sessionguard.testing.contracts.capabilities import EVERYTHING, Capabilities
from sessionguard.testing.contracts.catalogue import CASES, Case
from sessionguard.testing.profile import CI, Profile

Status = Literal["ok", "skip", "fail"]


@frozen
class Verdict:
    """What came of one case in one mode."""

    case: str
    mode: str
    status: Status
    reason: str = ""
    """Why it was skipped, or what was wrong in one line."""
    error: BaseException | None = None
    remark: str = ""
    """What a case that passed could not see, and what to do about it."""


def verdicts(
    empty_store: Callable[[], MakeStore],
    *,
    capabilities: Capabilities = EVERYTHING,
    cases: Collection[str] | None = None,
    modes: Collection[str] | None = None,
    profile: Profile = CI,
    yields: str | None = None,
) -> list[Verdict]:
    """Judge a store by every case, or by the named ones, in every mode, or in the named ones.

    `empty_store` is called before each of them and gives a `make_store` for a new and empty place; `yields` says where
    its callers are interrupted in encounters, as `StoreContract.yields` does.

    Raises:
        ValueError: a name is not that of a case.
    """
    unknown = set(cases or ()) - CASES.keys()
    if unknown:
        raise ValueError(f"no case is called {', '.join(sorted(unknown))}")
    return [
        judge(case, mode, Candidate(empty_store(), capabilities, yields=yields), profile)
        for case in CASES.values()
        if cases is None or case.name in cases
        for mode in case.modes
        if modes is None or mode in modes
    ]


def failures(judged: list[Verdict]) -> Iterator[Verdict]:
    """Give those that failed."""
    return (verdict for verdict in judged if verdict.status == "fail")


def judge(case: Case, mode: str, candidate: Candidate, profile: Profile) -> Verdict:
    """Give what comes of one case in one mode."""
    refusal = case.refusal(mode, candidate)
    if refusal is not None:
        return Verdict(case.name, mode, "skip", refusal)
    try:
        remark = case.play(mode, candidate, profile)
    except Exception as error:
        return Verdict(case.name, mode, "fail", _in_one_line(error), error)
    return Verdict(case.name, mode, "ok", remark=remark or "")


def _in_one_line(error: Exception) -> str:
    """Give what was wrong and where the kit says so, also where nothing makes assertions readable."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == Path(__file__).parent]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = str(error).strip().partition("\n")[0] or (frames[-1].line if frames else "")
    return f"{type(error).__name__}: {message}{place}"
