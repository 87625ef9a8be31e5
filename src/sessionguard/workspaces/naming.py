"""Make a name for a file of a workspace out of the one that a client's file had."""

import re
import unicodedata
from typing import Final

from sessionguard.workspaces.names import MAX_COMPONENT_BYTES, is_allowed, problem_of

_SEPARATORS: Final = re.compile(r"[/\\]")
_ENDING_BYTES: Final = 32
"""More than the longest ending that anything is recognised by, `.postscript` or `.tar.zst` among them."""
_NAMELESS: Final = "file"


def nearest_name(original: str) -> str:
    """Give the name nearest to `original`, the name of an uploaded file, that a workspace takes: one component.

    What comes before a slash or backslash is left out, as some browsers send whole paths; what is not on the allow-list
    becomes an underscore; what is too long is cut before its ending; where nothing is left it is "file". A name that a
    workspace takes is given back as it is, in NFC. Two originals may have one nearest name: keep them in directories of
    their own, or open them with mode "x". The original belongs into the session's data.
    """
    name = unicodedata.normalize("NFC", _SEPARATORS.split(original)[-1])
    name = "".join(character if is_allowed(character) else "_" for character in name)
    name = _cut(name.lstrip(".- ").rstrip(". "))
    if not name:
        return _NAMELESS
    # A device of some systems, a combining mark in front, or whatever else has a meaning to a reader that normalises.
    return name if problem_of(name) is None else _repaired(name)


def _repaired(name: str) -> str:
    name = _cut("_" + name)
    if problem_of(name) is None:
        return name
    # Only what is no ASCII can still be wrong, by what it becomes where somebody normalises it.
    return _cut("".join(character if character.isascii() else "_" for character in name))


def _cut(name: str) -> str:
    """Cut what is too long before its ending, between two characters."""
    if len(name.encode()) <= MAX_COMPONENT_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > _ENDING_BYTES:
        stem, dot, ending = name, "", ""
    room = MAX_COMPONENT_BYTES - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + ending
