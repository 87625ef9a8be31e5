"""Sessions in the memory of one process. Nothing survives it, and nothing is shared with another one."""

from collections.abc import Mapping

from sessionguard.errors import ConfigurationError
from sessionguard.stores.memory.store import MemoryStore
from sessionguard.stores.options import truth_in

__all__ = ["MemoryStore", "open_memory"]


def open_memory(url: str, options: Mapping[str, str]) -> MemoryStore:
    """Open `memory://`; the option `allow_per_process=true` lets every worker process keep sessions of its own."""
    if options.keys() - {"allow_per_process"}:
        # Not named: behind a question mark inside a password, the rest of the password would be an option.
        raise ConfigurationError.of_url(url, "memory:// has only the option allow_per_process")
    if url.partition("?")[0].partition("://")[2] not in ("", "/"):
        raise ConfigurationError.of_url(url, "memory has no places; write it as memory://")
    return MemoryStore(allow_per_process=truth_in(url, options, "allow_per_process", default=False))
