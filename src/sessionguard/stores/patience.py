"""The option `patience` of a store URL: how many seconds a call may wait for others."""

from collections.abc import Mapping

from sessionguard.errors import ConfigurationError


def patience_in(url: str, options: Mapping[str, str]) -> float:
    """Give the patience that `options` of `url` name, or else 5 seconds.

    Raises:
        ConfigurationError: it is no number of seconds that a caller would wait.
    """
    try:
        seconds = float(options.get("patience", "5"))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 3600:
        raise ConfigurationError.of_url(url, "patience is a number of seconds above 0 and below 3600")
    return seconds
