"""From a URL to the function that understands it: by entry points, which any installed package may have."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from sessionguard.errors import ConfigurationError

Opener = Callable[[str, Mapping[str, str]], Any]

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII | re.IGNORECASE)


def opened(url: str, group: str, *, setting: str, noun: str, example: str) -> Any:
    """Give what the function makes of `url` that is registered in `group` under its scheme.

    It is called with the URL and the options behind its `?`. `setting`, `noun` and `example` are for errors: what the
    URL is a value of, what is registered, and how such a URL is written.

    Raises:
        ConfigurationError: nothing is registered under that name, or the URL does not suit it.
        MissingExtraError: it needs a package that is not installed.
    """
    scheme, separator, _ = url.partition("://") if isinstance(url, str) else ("", "", "")
    # A scheme that is none may be the beginning of a password.
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ConfigurationError.of_url(url, f"write it as {example}", setting=setting)
    # Here, because it costs a fifth of the whole import, and a guard over an object never needs it.
    from importlib.metadata import entry_points

    scheme = scheme.lower()
    found = entry_points(group=group, name=scheme)
    if not found:
        known = ", ".join(f"{name}://" for name in schemes(group))
        remedy = f"no {noun} is registered for {scheme}://; there are: {known}"
        raise ConfigurationError.of_url(url, remedy, setting=setting)
    # One package found twice on the path names the same function twice; two packages are a matter for the developer.
    different = {entry.value: entry for entry in found}
    if len(different) > 1:
        remedy = f"several packages offer {scheme}://: {', '.join(sorted(different))}; uninstall all but one"
        raise ConfigurationError.of_url(url, remedy, setting=setting)
    opener: Opener = next(iter(different.values())).load()
    return opener(url, _options(url, setting))


def schemes(group: str) -> list[str]:
    """Name what may come before `://`, sorted."""
    from importlib.metadata import entry_points

    return sorted({entry.name for entry in entry_points(group=group)})


def _options(url: str, setting: str) -> Mapping[str, str]:
    # Not as a form is read: there + is a space, and here it is part of a path or a password.
    pieces = [piece.partition("=") for piece in url.partition("?")[2].split("&") if piece]
    pairs = [(unquote(name), unquote(value)) for name, _, value in pieces]
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError.of_url(url, "give each option once", setting=setting)
    return options
