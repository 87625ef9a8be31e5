"""One adapter for each framework; each translates HTTP and decides nothing."""

from sessionguard.adapters.modes import concurrency, read_only

__all__ = ["concurrency", "read_only"]
