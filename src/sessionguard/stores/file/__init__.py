"""Sessions as files in one folder of a local disk, shared by all processes of one machine."""

from collections.abc import Mapping
from urllib.parse import unquote

from sessionguard.errors import ConfigurationError
from sessionguard.stores.file.store import FileStore
from sessionguard.stores.options import patience_in

__all__ = ["FileStore", "open_file"]


def open_file(url: str, options: Mapping[str, str]) -> FileStore:
    """Open `file:///folder`, whose path is absolute and percent-encoded, as in every file URL (RFC 8089).

    Option: `patience=SECONDS`, how long to wait for other writers.
    """
    if options.keys() - {"patience"}:
        # Not named: behind a question mark inside a password, the rest of the password would be an option.
        raise ConfigurationError.of_url(url, "file:// has only the option patience")
    host, slash, path = url.partition("?")[0].partition("://")[2].partition("/")
    if host or not slash:
        raise ConfigurationError.of_url(url, "files have no hosts; name a folder, as in file:///srv/app/sessions")
    # What is no escape stays as it is; bytes that are no text are those of the name, as the system gives them.
    path = unquote(path, errors="surrogateescape")
    if "\0" in path:
        raise ConfigurationError.of_url(url, "no name of a folder holds the character NUL")
    if path.strip("/") == "":
        raise ConfigurationError.of_url(url, "name a folder of its own, as in file:///srv/app/sessions")
    return FileStore("/" + path.lstrip("/"), patience_seconds=patience_in(url, options))
