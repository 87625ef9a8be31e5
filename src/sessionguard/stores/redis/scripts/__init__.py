"""The scripts of the Redis store, one file per operation, and how each is sent."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from attrs import frozen


@frozen(eq=False)
class Script:
    """One script: its whole source, and the digest by which a server knows it once it has seen it."""

    name: str
    source: bytes
    digest: bytes
    head: bytes
    """The words with which each call of it begins, as they go over the wire: it is named, and has one key."""


_FOLDER: Final = Path(__file__).parent
_PRELUDE: Final = ("primary", "prelude")
# What stands in front of the scripts that need more, or less, than the prelude.
_IN_FRONT: Final[Mapping[str, tuple[str, ...]]] = {
    "load": ("load_at_once", *_PRELUDE),
    "save": ("primary",),
    "create": (*_PRELUDE, "limiting", "opening"),
    "get_or_create": (*_PRELUDE, "limiting", "opening"),
    "replace": (*_PRELUDE, "limiting", "opening"),
    "rotate": (*_PRELUDE, "limiting"),
    "announce": (*_PRELUDE, "limiting"),
    "ended_before": (*_PRELUDE, "limiting"),
    "acquire_lock": (*_PRELUDE, "locks"),
    "renew_lock": (*_PRELUDE, "locks"),
    "release_lock": (*_PRELUDE, "locks"),
    "hold_lease": (*_PRELUDE, "leases"),
    "release_lease": (*_PRELUDE, "leases"),
    "leased_until": (*_PRELUDE, "leases"),
    "identify": ("primary",),
    "primary_only": ("primary",),
}
_PARTS: Final = frozenset({*_PRELUDE, "load_at_once", "limiting", "opening", "locks", "leases"})


def _read(name: str) -> str:
    # Comments are for who reads the file; the server would keep them in memory.
    lines = (_FOLDER / f"{name}.lua").read_text(encoding="ascii").splitlines()
    return "".join(f"{line}\n" for line in lines if line.strip() and not line.lstrip().startswith("--"))


def _load(name: str) -> Script:
    source = "".join(map(_read, (*_IN_FRONT.get(name, _PRELUDE), name))).encode("ascii")
    # A name that Redis chose, not a protection.
    digest = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode("ascii")
    return Script(name, source, digest, b"\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1" % digest)


SCRIPTS: Final[Mapping[str, Script]] = MappingProxyType(
    {path.stem: _load(path.stem) for path in sorted(_FOLDER.glob("*.lua")) if path.stem not in _PARTS}
)
