"""Sessions as files in one folder of a local disk, shared by all processes of one machine."""

from collections.abc import Mapping

from sessionguard.errors import ConfigurationError
from sessionguard.stores.file.store import FileStore

__all__ = ["FileStore", "open_file"]


def open_file(url: str, options: Mapping[str, str]) -> FileStore:
    """Open `file:///folder`, whose path is absolute, as in every file URL (RFC 8089).

    Option: `patience=SECONDS`, how long to wait for other writers.
    """
    if options.keys() - {"patience"}:
        # Not named: behind a question mark inside a password, the rest of the password would be an option.
        raise ConfigurationError.of_url(url, "file:// has only the option patience")
    host, slash, path = url.partition("?")[0].partition("://")[2].partition("/")
    if host or not slash:
        raise ConfigurationError.of_url(url, "files have no hosts; name a folder, as in file:///srv/app/sessions")
    if path.strip("/") == "":
        raise ConfigurationError.of_url(url, "name a folder of its own, as in file:///srv/app/sessions")
    return FileStore("/" + path.lstrip("/"), patience_seconds=_seconds(url, options.get("patience", "5")))


def _seconds(url: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 3600:
        raise ConfigurationError.of_url(url, "patience is a number of seconds above 0 and below 3600")
    return seconds
