"""What came of the kit, told to people: what failed or was skipped and why, what was not seen, and the counts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from sessionguard.testing.contracts.catalogue import CASES
from sessionguard.testing.contracts.remarks import UNJUDGED, told
from sessionguard.testing.contracts.shortening import shortened
from sessionguard.testing.contracts.verdicts import Status, Verdict

_WORDS: Final[dict[Status, str]] = {"ok": "passed", "fail": "failed", "skip": "skipped"}


def render(judged: Sequence[Verdict]) -> str:
    """Give the report: each failure with the behaviour that was not shown, the reasons for skipping, the counts."""
    failed = [verdict for verdict in judged if verdict.status == "fail"]
    lines = [line for verdict in failed for line in _failure(verdict)]
    return "\n".join([*lines, *_skips(judged), *told(v.remark for v in judged), summary(judged)])


def summary(judged: Sequence[Verdict]) -> str:
    """Give the counts in one line."""
    counts = Counter(verdict.status for verdict in judged)
    words = [f"{counts[status]} {word}" for status, word in _WORDS.items() if counts[status]]
    unjudged = sum(UNJUDGED in verdict.remark for verdict in judged)
    weak = sum(bool(verdict.remark) for verdict in judged) - unjudged
    remarks = [f"{weak} between calls only"] if weak else []
    remarks += [f"{unjudged} {UNJUDGED}"] if unjudged else []
    return (", ".join(words) or "nothing played") + (f" ({', '.join(remarks)})" if remarks else "")


def behaviour_of(case: str) -> str:
    """Give what a case shows, in one sentence; empty for what is no case but a check of the kit itself."""
    return CASES[case].behaviour if case in CASES else ""


def _failure(verdict: Verdict) -> Iterator[str]:
    yield f"FAILED  {verdict.case}" + (f" [{verdict.mode}]" if verdict.mode else "")
    if behaviour_of(verdict.case):
        yield f"  {behaviour_of(verdict.case)}"
    lines = (verdict.reason or "it failed without a word").splitlines()
    if verdict.error is not None:
        # The reason is the first line of what was raised; the values that were compared come after it.
        lines += str(verdict.error).strip().splitlines()[1:]
    yield from (f"    {line}" for line in shortened(lines))
    yield ""


def _skips(judged: Sequence[Verdict]) -> Iterator[str]:
    reasons = Counter(verdict.reason for verdict in judged if verdict.status == "skip")
    for reason, count in reasons.most_common():
        yield f"skipped {count}: {reason}"
