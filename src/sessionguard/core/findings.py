"""What an examination of a store, or of a place for files, finds."""

from typing import Literal

from attrs import frozen


@frozen
class Finding:
    """One thing that an examination found."""

    level: Literal["ok", "warning", "problem"]
    subject: str
    message: str
    remedy: str = ""
