"""What time it is where files are kept, learnt from what comes from there: no client's own clock judges an age."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


class ServerClock:
    """The time of the server, as its last reply told it, and counted on from there.

    It is behind by less than a second, to which replies are dated, and the way of that reply: much less than any length
    of time that it is used to judge. Nothing is known before the first reply, and then, and of a server that dates
    nothing, it is the time of this machine.
    """

    def __init__(self) -> None:
        # One value, replaced as a whole: threads share it.
        self._told: tuple[float, float] | None = None

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take the time out of the headers of a reply."""
        at = date_of(headers)
        if at is not None:
            self._told = at.timestamp(), time.monotonic()

    def now(self) -> float:
        """Give seconds since 1970."""
        if self._told is None:
            return time.time()
        at, heard_at = self._told
        return at + time.monotonic() - heard_at

    def listen(self, client: Any) -> None:
        """Hear each reply that a client of botocore gets, also one that refuses."""
        client.meta.events.register("after-call.s3", self._heard)

    def _heard(self, http_response: Any, **others: Any) -> None:
        self.hear(http_response.headers)


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Give when a reply was made; None if it does not tell."""
    text = headers.get("date")
    try:
        return None if text is None else parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
