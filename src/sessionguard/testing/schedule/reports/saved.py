"""A failure as a file: what was found, and where its scenario is to be found again."""

import json
import platform
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from sessionguard import __version__
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.schedule.outcome import Outcome
from sessionguard.testing.schedule.replay import ReplayId
from sessionguard.testing.schedule.reports.plain import plain_outcome

FORMAT: Final = 1
"""Of the files; it grows when an older release could not read them any more."""


@frozen
class Origin:
    """Where a scenario is, and how it was raced."""

    test: str | None = None
    """The node id of the test."""
    scenario: str | None = None
    """Its function, as module:function, if it can be found by that."""
    options: tuple[str, ...] = ()
    """What pytest was told beside the seed and the budget."""
    lines: tuple[str, ...] = ()
    loop: str = "virtual"
    io: bool = False


@frozen
class SavedFailure:
    """What is needed of a file to run its schedule again, and to say whether the same went wrong."""

    replay_id: str
    reason: str
    judge: str
    message: str
    origin: Origin = field(factory=Origin)
    made_by: str | None = None
    """The release that wrote it, if the file says so."""


def saved(outcome: Outcome, origin: Origin) -> str:
    """Give what a search found, and where, as JSON."""
    head = {
        "format": FORMAT,
        "sessionguard": __version__,
        "python": platform.python_version(),
        "test": origin.test,
        "scenario": origin.scenario,
        "options": list(origin.options),
        "lines": list(origin.lines),
        "loop": origin.loop,
        "io": origin.io,
    }
    return json.dumps(head | plain_outcome(outcome), indent=2, ensure_ascii=False)


def outcome_line(test: str, outcome: Outcome) -> str:
    """Give what a search of `test` found as one line of JSON, for whoever counts or compares many of them."""
    told = plain_outcome(outcome)
    failure = told.pop("failure")
    told |= {"test": test, "followed": outcome.replay_is_faithful}
    if failure is not None and outcome.failure is not None:
        told |= {name: failure[name] for name in ("reason", "judge", "message", "replay_id")}
        told["report"] = outcome.failure.render()
    return json.dumps(told, ensure_ascii=False) + "\n"


def read_saved(path: Path) -> SavedFailure:
    """Give the failure that a file holds.

    Raises:
        InvalidArgumentError: it cannot be read, is no such file, holds no failure, or is of a later format.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _refused(path, f"it is no JSON ({error}); give a file that --sg-artifacts left") from error
    if not isinstance(found, dict) or not ({"failure", "replay_id"} & found.keys()):
        raise _refused(path, "it is JSON, but no report of a race; give a file that --sg-artifacts left")
    _require_format(path, found)
    # What `Failure.as_json` gives has no head; where its scenario is must be said then.
    failure = found.get("failure", found)
    if failure is None:
        raise _refused(path, f"nothing went wrong in it: {found.get('summary', '')}")
    try:
        return _saved_failure(found, failure)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _refused(path, f"it is damaged: {type(error).__name__} {error}") from error


def _require_format(path: Path, found: dict[str, Any]) -> None:
    number = found.get("format", FORMAT)
    if number != FORMAT:
        maker = found.get("sessionguard", "another release")
        remedy = (
            f"it has format {number!r}, of sessionguard {maker}; this is {__version__}, which reads format {FORMAT}"
        )
        raise _refused(path, remedy)


def _saved_failure(found: dict[str, Any], failure: dict[str, Any]) -> SavedFailure:
    origin = Origin(
        found.get("test"),
        found.get("scenario"),
        tuple(map(str, found.get("options", ()))),
        tuple(map(str, found.get("lines", ()))),
        str(found.get("loop", "virtual")),
        bool(found.get("io", False)),
    )
    told = SavedFailure(
        failure["replay_id"], failure["reason"], failure["judge"], failure["message"], origin, found.get("sessionguard")
    )
    texts = (told.replay_id, told.reason, told.judge, told.message, origin.test or "", origin.scenario or "")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("what must be text is none")
    ReplayId.parse(told.replay_id)
    return told


def _refused(path: Path, remedy: str) -> InvalidArgumentError:
    return InvalidArgumentError("file", str(path), remedy)
