"""Options that several store URLs have, read and refused alike; values are not shown, for they may be secret."""

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


def truth_in(url: str, options: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Give the option `name` of `url`, which is true or false.

    Raises:
        ConfigurationError: it is anything else; taken for false, a slip of the pen would go unnoticed.
    """
    text = options.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise ConfigurationError.of_url(url, f"{name} is true or false")
    return text == "true"
