"""What is found out about a server that could not be met: by reading the files of TLS, or by asking how it speaks."""

import asyncio
import math
import socket
import ssl
import time
from typing import Final

from attrs import frozen
from redis import exceptions as driver

from sessionguard.errors import ConfigurationError, StoreError
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.certificates import require_usable
from sessionguard.stores.redis.explanations import Explanation, Seen
from sessionguard.stores.redis.failures import Failure
from sessionguard.stores.redis.handshake import Notices
from sessionguard.stores.redis.settings import Settings
from sessionguard.stores.redis.speech import speaks, wants_certificate

# Asking takes less; this is for an event loop that has no thread free to ask in.
_LONGEST_SECONDS: Final = 0.5
# Whoever is silent, or hangs up, is not asked each time that a caller tries again.
_ASK_AGAIN_SECONDS: Final = 60.0
_OF_FILES: Final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


@frozen
class Contact:
    """A server that is to be met, as a line of the store meets it."""

    settings: Settings
    address: Address
    notices: Notices
    of_sentinel: bool = False

    def succeeded(self) -> None:
        """The server has answered: it speaks as the URL says, and is never asked how."""
        self.notices.ask_again_at[self.address] = math.inf

    def explained(self, failure: Failure) -> StoreError | None:
        """Give the error for a failed contact; None if it says nothing about the contact itself.

        Its cause is set if it is another one than the failure. Blocks for a third of a second at most, and only where
        that may tell more.
        """
        if self._may_be_of_files(failure) and (unusable := self._unusable()) is not None:
            return self._explanation.of_files(unusable)
        return self._explanation.of(failure, self._seen(failure) if self._is_to_be_asked(failure) else None)

    async def explained_async(self, failure: Failure) -> StoreError | None:
        """Do the same without blocking the event loop, or for longer than half a second."""
        if not self._may_be_of_files(failure) and not self._is_to_be_asked(failure):
            return self._explanation.of(failure)
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                return await asyncio.to_thread(self.explained, failure)
        except TimeoutError:
            return self._explanation.of(failure)

    @property
    def _explanation(self) -> Explanation:
        return Explanation(self.settings, self.address, self.of_sentinel)

    def _may_be_of_files(self, failure: Failure) -> bool:
        if self.settings.encryption is None:
            return False
        return _is_plain_ssl_error(failure) or any(map(failure.first, _OF_FILES))

    def _unusable(self) -> ConfigurationError | None:
        assert self.settings.encryption is not None
        try:
            require_usable(self.settings.encryption)
        except ConfigurationError as unusable:
            return unusable
        return None

    def _is_to_be_asked(self, failure: Failure) -> bool:
        """Tell whether it may be that one speaks TLS and the other does not, or not so, and is not known yet."""
        if time.monotonic() < self.notices.ask_again_at.get(self.address, 0.0):
            return False
        error = failure.error
        if isinstance(error, driver.AuthenticationError | driver.BusyLoadingError | driver.MaxConnectionsError):
            return False
        if any(map(failure.first, (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError))):
            return False
        if isinstance(error, driver.TimeoutError | TimeoutError):
            return self.settings.encryption is not None
        return isinstance(error, driver.ConnectionError | driver.InvalidResponse | OSError)

    def _seen(self, failure: Failure) -> Seen | None:
        encryption = self.settings.encryption
        if encryption is not None and encryption.certfile is None and _has_just_ended(failure):
            if wants_certificate(self.address):
                return "wants a certificate"
        elif speaks(self.address, "encrypted" if encryption is None else "plain"):
            return "speaks otherwise"
        self.notices.ask_again_at[self.address] = time.monotonic() + _ASK_AGAIN_SECONDS
        return None


def _has_just_ended(failure: Failure) -> bool:
    """Tell whether the server closed the connection and gave no reason, or the reason was lost."""
    return not isinstance(failure.error, driver.TimeoutError | TimeoutError) and not _is_plain_ssl_error(failure)


def _is_plain_ssl_error(failure: Failure) -> bool:
    """Tell whether a file was not what TLS needs, or the answer was no TLS; the others are subclasses."""
    return any(type(one) is ssl.SSLError for one in failure.origins)
