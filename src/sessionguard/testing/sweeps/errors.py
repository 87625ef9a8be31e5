"""What a sweep raises when what it struck, or who came after, did wrong."""

from sessionguard.testing.repetition import repetition


class SweepError(AssertionError):
    """After a fault at one place something was wrong; the message says where, what, and how to repeat exactly that."""


def told(where: str, findings: str, point_id: str) -> str:
    """Give the message: what was done where, what was wrong then, and how to repeat it."""
    return f"{where}:\n{findings}\n{repetition(point_id)}"
