"""What a writer has reserved so far, and when it must say again that it lives."""

import time
from typing import Final

from sessionguard.workspaces.quota import Usage
from sessionguard.workspaces.s3.ledger import Ledger
from sessionguard.workspaces.s3.manifest import CLAIM_SECONDS

_RENEWAL_SECONDS: Final = CLAIM_SECONDS / 3


class Room:
    """The claim of one writer: made larger before bytes are stored, so that nothing is stored that was not counted."""

    def __init__(self, ledger: Ledger, claim: str, reserved: Usage) -> None:
        self._ledger = ledger
        self._claim = claim
        self._reserved = reserved
        self._renewed_at = time.monotonic()

    def make(self, extent: Usage) -> None:
        """Return when `extent` in all is claimed.

        Raises:
            QuotaExceededError: it does not fit.
        """
        has_room = extent.bytes <= self._reserved.bytes and extent.files <= self._reserved.files
        if has_room and time.monotonic() - self._renewed_at < _RENEWAL_SECONDS:
            return
        more = Usage(max(extent.bytes, self._reserved.bytes), max(extent.files, self._reserved.files))
        self._reserved = self._ledger.reserve(self._claim, more)
        self._renewed_at = time.monotonic()
