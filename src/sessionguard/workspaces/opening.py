"""From the setting `workspaces` to a place for files: a folder, a URL, or such a place itself."""

import os
from typing import Final

from sessionguard import registry
from sessionguard.errors import ConfigurationError
from sessionguard.workspaces.contract import Workspaces

GROUP: Final = "sessionguard.workspaces"


def open_workspaces(place: str | os.PathLike[str] | Workspaces) -> Workspaces:
    """Give the workspaces in a folder, at a URL such as `s3://bucket/prefix`, or `place` itself if it is such a place.

    What comes before `://` is looked up among the entry points of the group `sessionguard.workspaces`.

    Raises:
        ConfigurationError: it is none of these.
        MissingExtraError: it needs a package that is not installed.
    """
    if isinstance(place, Workspaces):
        return place
    path = _path(place)
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


def _path(place: object) -> str:
    try:
        path = os.fspath(place)  # type: ignore[call-overload]
    except TypeError:
        path = ""
    if not isinstance(path, str) or not path:
        raise ConfigurationError("workspaces", place, "give the path of a folder, or a URL such as s3://bucket/prefix")
    return path
