"""The fixture `history`: a record of what clients do at the same time, judged as strictly as the run of tests is."""

from pathlib import Path

import pytest

from sessionguard.testing.artifacts import artifact_path
from sessionguard.testing.history.checking import AnyModel
from sessionguard.testing.history.recorder import History
from sessionguard.testing.history.search import Budget
from sessionguard.testing.history.verdicts import Legal, Verdict, require_legal


class JudgedHistory(History):
    """A history that fails its test if no order of the operations explains what clients were told."""

    test: str = "history"
    """The node id of the test that asks."""
    artifacts: Path | None = None
    """The folder for histories that are not legal."""
    is_strict: bool = False
    """Whether it is a failure, too, that the check was given up."""

    def require_legal(self, model: AnyModel, budget: Budget | None = None) -> Verdict:
        """Give the verdict, which is legal; if the check was given up, only a warning says so.

        Raises:
            HistoryError: no order is legal, or in a strict run none was found in time. The history is left as JSON
                lines in the folder of `--sg-artifacts`, for `History.from_jsonl`.
        """
        __tracebackhide__ = True
        verdict = self.linearizable(model, budget)
        if not isinstance(verdict, Legal) and self.artifacts is not None:
            self.to_jsonl(artifact_path(self.artifacts, self.test, "history.jsonl"))
        require_legal(verdict, strict=self.is_strict)
        return verdict


def of_test(config: pytest.Config, node: pytest.Item) -> JudgedHistory:
    """Give an empty history for a test, as the command line says."""
    history = JudgedHistory()
    artifacts = config.getoption("--sg-artifacts")
    history.test, history.artifacts = node.nodeid, None if artifacts is None else Path(artifacts)
    history.is_strict = config.getoption("--sg-profile") == "deep"
    return history
