"""The background sweep: one runner per guard and process, which stops when told, and never because of an error."""

import logging
import random
import threading
from collections.abc import Callable, Iterator

from sessionguard.errors import StoreTimeoutError, StoreUnavailableError, WorkspaceUnavailableError

_log = logging.getLogger("sessionguard.background")

OUTAGES = (StoreUnavailableError, StoreTimeoutError, WorkspaceUnavailableError)
"""What ends a pass without being a fault of this program, so that a line says all there is to say."""

# Sweeping starts somewhere in the first interval and drifts by a tenth, so that many processes do not
# sweep together.
_SPREAD = 0.1


def waits(interval_seconds: float) -> Iterator[float]:
    """Give the seconds to wait before each pass, for ever."""
    yield random.uniform(0, interval_seconds)
    while True:
        yield interval_seconds * random.uniform(1 - _SPREAD, 1 + _SPREAD)


class Sweeper:
    """A daemon thread that calls `sweep_pass` once per interval until `stop`, or until `sweep_pass` returns False."""

    def __init__(self, sweep_pass: Callable[[], bool], interval_seconds: float) -> None:
        self._sweep_pass = sweep_pass
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sessionguard-sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the pass that may be running now, and wait for that end."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        for wait in waits(self._interval_seconds):
            if self._stopping.wait(wait):
                return
            try:
                if not self._sweep_pass():
                    return
            except OUTAGES as error:
                _log.error("a background sweep failed; the next one tries again: %s", error)
            except Exception:
                _log.exception("a background sweep failed; the next one tries again")
