"""From the setting `workspaces` to a place for files: a folder, a URL, or such a place itself."""

import os
import re
from typing import Any, Final

from sessionguard import registry
from sessionguard.errors import ConfigurationError
from sessionguard.workspaces.contract import Workspaces, lacking_calls

GROUP: Final = "sessionguard.workspaces"

_WANTED: Final = "give the path of a folder, or a URL such as s3://bucket/prefix"
_SLIP: Final = re.compile(r"([a-z][a-z0-9+.-]*)(?::(?!//)/?|//+)", re.ASCII | re.IGNORECASE)
"""How a mistyped URL begins; taken for a relative path, it would put the files on this machine without a word."""


def open_workspaces(place: str | os.PathLike[str] | Workspaces) -> Workspaces:
    """Give the workspaces in a folder, at a URL such as `s3://bucket/prefix`, or `place` itself if it is such a place.

    What comes before `://` is looked up among the entry points of the group `sessionguard.workspaces`.

    Raises:
        ConfigurationError: it is none of these, lacks calls of such a place, or looks like a mistyped URL.
        MissingExtraError: it needs a package that is not installed.
    """
    # A class has the calls, too, but nobody to answer them.
    if isinstance(place, Workspaces) and not isinstance(place, type):
        return place
    path = _path(place)
    _require_no_slip(path, is_text=isinstance(place, str))
    if "://" in path:
        found: Workspaces = registry.opened(
            path,
            GROUP,
            setting="workspaces",
            noun="place for files",
            example="s3://bucket/prefix or the path of a folder",
        )
        return found
    from sessionguard.workspaces.local import LocalWorkspaces

    return LocalWorkspaces(path)


def _path(place: Any) -> str:
    try:
        path = os.fspath(place)
    except TypeError:
        raise ConfigurationError("workspaces", place, _remedy_for(place)) from None
    if not isinstance(path, str) or not path:
        raise ConfigurationError("workspaces", place, _WANTED)
    return path


def _remedy_for(place: object) -> str:
    kind = type(place)
    if kind.__module__ == "builtins":
        return _WANTED
    return f"{kind.__name__} lacks {', '.join(lacking_calls(place))} of sessionguard.workspaces.Workspaces"


def _require_no_slip(path: str, *, is_text: bool) -> None:
    found = _SLIP.match(path)
    if found is None:
        return
    scheme = found.group(1).lower()
    meant = scheme if scheme in registry.schemes(GROUP) else "s3"
    right = "the path alone" if scheme == "file" else f"{meant}://bucket/prefix"
    # A Path drops the dot again.
    folder = f"./{found.group()}..." if is_text else "its absolute path"
    remedy = f"this looks like a mistyped URL; write {right}, or {folder} for a folder of that name"
    raise ConfigurationError("workspaces", _without_credentials(path), remedy)


def _without_credentials(path: str) -> str:
    before, at, place = path.rpartition("@")
    return f"{'***@' if before or at else ''}{place.partition('?')[0]}{'?***' if '?' in place else ''}"
