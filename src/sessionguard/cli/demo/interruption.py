"""Ends the demonstration on request (Ctrl-C, terminate, hang up), at points where nothing is half done."""

import signal
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While entered, a request to end is remembered, and `check` acts on it.

    Not raised where it arrives: a library in the middle of its work may turn `KeyboardInterrupt` into an error
    of its own, or swallow it. Who asks twice is served at once; who asks during the clean-up waits for it.
    """

    def __init__(self) -> None:
        self._is_requested = False
        self._is_acted_on = False

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if the end was asked for."""
        if self._is_requested:
            self._is_acted_on = True
            raise KeyboardInterrupt

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_requested and not self._is_acted_on:
            self.check()
        self._is_requested = True
