"""The case of the state machine: any store and the model, asked the same, answer the same."""

from typing import ClassVar

from attrs import frozen

from sessionguard.errors import MissingExtraError
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.cases import Case, register
from sessionguard.testing.profile import Profile


@frozen
class AgreementCase(Case):
    """A behaviour of every trace of commands, drawn by Hypothesis."""

    modes = ("blocking", "async")
    mode_needs: ClassVar = {"blocking": "blocking", "async": "asynchronous"}

    def play(self, mode: str, candidate: Candidate, profile: Profile) -> None:
        """Draw traces until one shows a difference or there were enough."""
        try:
            from sessionguard.testing.contracts.machine import compare
        except ModuleNotFoundError as error:
            if error.name != "hypothesis":
                raise
            raise MissingExtraError("testing", "hypothesis") from error
        compare(mode, candidate, profile)


register(
    AgreementCase(
        subject="agreement",
        name="t19_every_trace_agrees_with_the_model",
        behaviour="Whatever is asked, in whatever order and at whatever instant, the store answers as the model does.",
        needs=frozenset(),
    )
)
