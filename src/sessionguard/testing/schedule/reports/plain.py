"""A failure as plain values: for JSON, and for whoever makes another report."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sessionguard.testing.history import Operation
from sessionguard.testing.schedule.execution import Execution

if TYPE_CHECKING:
    from sessionguard.testing.schedule.outcome import Failure, Outcome


def plain_failure(failure: "Failure") -> dict[str, Any]:
    """Give everything about a failure as values that JSON knows."""
    violation = failure.verdict
    return {
        "reason": violation.reason,
        "judge": violation.judge,
        "message": violation.message,
        "frames": list(violation.frames),
        "replay_id": failure.replay_id,
        "schedules": failure.schedules,
        "found_by": failure.found_by,
        "seed": failure.seed,
        "is_undeclared": failure.is_undeclared,
        "replayed": list(failure.replayed),
        "found": plain_execution(failure.schedule),
        "minimal": plain_execution(failure.minimal),
        "passing": None if failure.passing is None else plain_execution(failure.passing),
    }


def plain_outcome(outcome: "Outcome") -> dict[str, Any]:
    """Give what a search found as values that JSON knows."""
    return {
        "ok": outcome.ok,
        "summary": outcome.describe(),
        "schedules": outcome.schedules,
        "exhausted": outcome.exhausted,
        "proof": outcome.proof,
        "workers": outcome.workers,
        "seconds": round(outcome.seconds, 6),
        "counts": outcome.counts,
        "unknown": outcome.unknown,
        "has_blocked": outcome.has_blocked,
        "waits": dict(outcome.waits),
        "spinning": sorted(outcome.spinning),
        "failure": None if outcome.failure is None else plain_failure(outcome.failure),
    }


def plain_execution(execution: Execution) -> dict[str, Any]:
    """Give one schedule: the choice at every step, and the history."""
    return {
        "workers": list(execution.names),
        "preemptions": execution.preemptions,
        "tape": execution.tape,
        "steps": [
            {
                "worker": execution.names[step.worker],
                "label": step.point.label,
                "resource": _plain(step.point.resource),
                "mode": step.point.mode,
                "is_blocked": step.is_blocked,
                "state": step.state,
            }
            for step in execution.steps
        ],
        "history": [_plain_operation(operation) for operation in execution.history.operations],
    }


def to_json(outcome: "Outcome") -> str:
    """Give what a search found as JSON."""
    return json.dumps(plain_outcome(outcome), indent=2, ensure_ascii=False)


def _plain_operation(operation: Operation) -> dict[str, Any]:
    return {
        "client": operation.client,
        "name": operation.name,
        "args": {name: _plain(value) for name, value in operation.args.items()},
        "call": operation.call,
        "ret": operation.ret,
        "outcome": operation.outcome,
        "result": _plain(operation.result),
    }


def _plain(value: object) -> Any:
    """Give the value if JSON has it, else its text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return repr(value)
