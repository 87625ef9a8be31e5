"""What can go wrong with a server of a test."""


class EngineMissingError(RuntimeError):
    """The server program is not installed, or cannot be run here; the message says why and what to do."""

    def __init__(self, engine: str, reason: str, remedy: str) -> None:
        self.engine = engine
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{engine}: {reason}; {remedy}")

    def __reduce__(self) -> tuple[type["EngineMissingError"], tuple[str, str, str]]:
        return type(self), (self.engine, self.reason, self.remedy)


class ServerStartError(RuntimeError):
    """A server ended or did not answer in time while it was started; the message holds the end of its log."""
