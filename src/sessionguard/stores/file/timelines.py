"""What is due when: entries in folders by time, so that finding what is due reads nothing that is not.

An entry of instant `us` is the link `<name>/<us in 71 minutes>/<us in 17 seconds>/<us>.<entry>`.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from attrs import frozen

from sessionguard.stores.file import changeset

_HOUR_BITS: Final = 32
_MOMENT_BITS: Final = 24


@frozen
class Timeline:
    """One index by time, in the folder of this name."""

    name: str

    def path(self, instant_us: int, entry: str) -> str:
        """Give the path of an entry."""
        hour, moment = instant_us >> _HOUR_BITS, (instant_us >> _MOMENT_BITS) & 0xFF
        return f"{self.name}/{hour:x}/{moment:02x}/{instant_us}.{entry}"

    def until(self, folder: int, now_us: int) -> Iterator[tuple[int, str]]:
        """Give the entries up to `now_us`, the earliest first, by what is there as each folder is read."""
        for hour in _numbers(changeset.names_in(folder, self.name)):
            if hour > now_us >> _HOUR_BITS:
                return
            yield from self._in_hour(folder, hour, now_us)
            _remove_if_empty(folder, f"{self.name}/{hour:x}")

    def after(self, folder: int, now_us: int) -> Iterator[tuple[int, str]]:
        """Give the entries after `now_us`, in no order within a moment; removes nothing."""
        for hour in _numbers(changeset.names_in(folder, self.name)):
            if hour < now_us >> _HOUR_BITS:
                continue
            for moment in _numbers(changeset.names_in(folder, f"{self.name}/{hour:x}")):
                if (hour << 8) + moment >= now_us >> _MOMENT_BITS:
                    found = _entries(changeset.names_in(folder, f"{self.name}/{hour:x}/{moment:02x}"))
                    yield from (entry for entry in found if entry[0] > now_us)

    def _in_hour(self, folder: int, hour: int, now_us: int) -> Iterator[tuple[int, str]]:
        for moment in _numbers(changeset.names_in(folder, f"{self.name}/{hour:x}")):
            if (hour << 8) + moment > now_us >> _MOMENT_BITS:
                return
            path = f"{self.name}/{hour:x}/{moment:02x}"
            entries = sorted(_entries(changeset.names_in(folder, path)))
            yield from (entry for entry in entries if entry[0] <= now_us)
            if (hour << 8) + moment < now_us >> _MOMENT_BITS:
                _remove_if_empty(folder, path)


def _numbers(names: list[str]) -> list[int]:
    numbers = []
    for name in names:
        # What is no number is not ours.
        with suppress(ValueError):
            numbers.append(int(name, 16))
    return sorted(numbers)


def _entries(names: list[str]) -> Iterator[tuple[int, str]]:
    for name in names:
        instant, _, entry = name.partition(".")
        if instant.isdigit():
            yield int(instant), entry


def _remove_if_empty(folder: int, path: str) -> None:
    # Whoever needs it at this very moment makes it again.
    with suppress(OSError):
        os.rmdir(path, dir_fd=folder)
