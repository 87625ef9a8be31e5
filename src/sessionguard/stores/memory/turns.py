"""Whose turn it is, until when. Called with the store's mutex held."""

from sessionguard.core import fleet as f
from sessionguard.core.lifecycle import Outcome


class Turns:
    """One entry per turn that is taken and was not given back."""

    def __init__(self) -> None:
        self._turns: dict[str, tuple[str, int, int]] = {}

    def __len__(self) -> int:
        return len(self._turns)

    def take(self, command: f.TakeTurn, now_us: int) -> Outcome:
        """Let the holder have the turn, if nobody else has it now."""
        if self._is_anothers(command.name, command.holder, now_us):
            return Outcome.CONFLICT
        self._turns[command.name] = command.holder, now_us, now_us + command.lease_us
        return Outcome.DONE

    def give(self, command: f.GiveTurn, now_us: int) -> Outcome:
        """Take the turn from the holder, if it still is theirs."""
        if self._is_anothers(command.name, command.holder, now_us):
            return Outcome.CONFLICT
        self._turns.pop(command.name, None)
        return Outcome.DONE

    def _is_anothers(self, name: str, holder: str, now_us: int) -> bool:
        former, taken_us, until_us = self._turns.get(name, (holder, 0, 0))
        return former != holder and taken_us <= now_us < until_us
