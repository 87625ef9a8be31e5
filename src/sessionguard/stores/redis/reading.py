"""How the replies of a server are read from its bytes, where the driver reads them by hiredis: without its detours.

The driver asks the same reader, but through a dozen calls for each reply, and coroutines where it is async, which took
a fifth of what a client spends on a script. Without hiredis, the driver's own parser is left to do it.
"""

from typing import Any, Final

from redis import exceptions as driver

CHUNK_BYTES: Final = 65536


class Reader:
    """The hiredis reader of one connection of the driver, which goes on using it as well."""

    def __init__(self, plain: Any) -> None:
        """Raises `ConnectionError` if it holds something already, which would be taken for the reply to a request."""
        if plain.has_data():
            raise driver.ConnectionError("the server sent more than it was asked for, as the connection was made")
        self._gets = plain.gets
        self._feed = plain.feed
        self.has_data = plain.has_data
        # It holds nothing yet, and says what it says then.
        self._nothing = plain.gets()

    def has_reply(self, received: bytes) -> bool:
        """Take what was received, and tell whether a reply is complete.

        Raises:
            ConnectionError: nothing was received, so the server has closed the connection.
        """
        if not received:
            raise driver.ConnectionError("the server closed the connection")
        self._feed(received)
        self.reply = self._gets()
        return self.reply is not self._nothing

    def taken(self) -> Any:
        """Give the reply, or raise the error that the server answered with."""
        reply, self.reply = self.reply, None
        if isinstance(reply, Exception):
            raise reply
        return reply


def reader_of(connection: Any) -> Reader | None:
    """Give the reader of a connection that was just made; None if it reads by other means."""
    plain = getattr(connection._parser, "_reader", None)
    return None if plain is None else Reader(plain)
