"""How much of a quota is spoken for: decisions without I/O."""

import json
from typing import Any, Self

from attrs import define, field, frozen

from sessionguard.core.commands import Fence
from sessionguard.workspaces.identities import is_owner_key
from sessionguard.workspaces.local.layout import MANY_PREFIX
from sessionguard.workspaces.quota import Quota, Usage

_FORMAT = 2
STEP_BYTES = 1024 * 1024
LARGEST_STEP_BYTES = 16 * STEP_BYTES
_SHARE_OF_ROOM = 64


def spare_of(limit_bytes: int | None, used_bytes: int) -> int:
    """Give how many bytes one writer may claim of what is free."""
    if limit_bytes is None:
        return LARGEST_STEP_BYTES
    # Never more than a small share of the room: else one idle writer's spare claim
    # would make another writer's bytes be refused although they fit.
    return min(LARGEST_STEP_BYTES, (limit_bytes - used_bytes) // _SHARE_OF_ROOM)


@frozen
class Claim:
    """What one unfinished write has reserved."""

    bytes: int
    files: int


@define
class Book:
    """The account of one workspace: an upper bound of what is there, plus the claims of unfinished writes.

    It may say too much, after a crash or a deletion; it never says too little of what was written
    through a Workspace, because claims are entered before bytes are written and kept until they are published.
    """

    epoch: str
    """Names the run of the machine; a book of another run was perhaps not on the disk when power failed."""
    held_bytes: int = 0
    held_files: int = 0
    claims: dict[str, Claim] = field(factory=dict)
    fences: dict[str, int] = field(factory=dict)
    """Lock -> the lowest number with which anybody may still write."""
    owner: str = ""
    """The key of the owner in whose account this workspace is; none if there is no quota for the owner."""
    doing: str = ""
    """What of `private` its keeper is about to change a file with; nothing if he is not."""
    birth: str = ""
    """Drawn at random when it was begun. Whoever passed a fence in a book of another birth may have been overtaken."""

    @classmethod
    def read(cls, text: bytes | None, epoch: str | None = None) -> Self | None:
        """Give the book kept as `text`, or None if it is not a whole book of this epoch, or of any without one."""
        try:
            kept: dict[str, Any] = json.loads(text or b"")
            if kept["format"] != _FORMAT or epoch not in (None, kept["epoch"]):
                return None
            claims = {str(name): Claim(int(size), int(count)) for name, (size, count) in kept["claims"].items()}
            fences = {str(name): int(number) for name, number in kept.get("fences", {}).items()}
            owner = str(kept.get("owner", ""))
            if owner and not is_owner_key(owner):
                # It becomes a part of a path.
                return None
            others = owner, str(kept.get("doing", "")), str(kept.get("birth", ""))
            return cls(str(kept["epoch"]), int(kept["bytes"]), int(kept["files"]), claims, fences, *others)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def text(self) -> bytes:
        """Give the text that `read` takes, in one line."""
        kept = {
            "format": _FORMAT,
            "epoch": self.epoch,
            "bytes": self.held_bytes,
            "files": self.held_files,
            "claims": {name: [claim.bytes, claim.files] for name, claim in self.claims.items()},
            "fences": self.fences,
        }
        others = (("owner", self.owner), ("doing", self.doing), ("birth", self.birth))
        kept |= {name: text for name, text in others if text}
        return json.dumps(kept, separators=(",", ":")).encode()

    def take_on(self, former: "Book") -> None:
        """Go on from a book that lost its place to this one: nothing that it promised is forgotten."""
        self.claims = former.claims | self.claims
        for name, number in former.fences.items():
            self.fences[name] = max(self.fences.get(name, 0), number)
        self.owner = self.owner or former.owner
        self.birth = former.birth or self.birth

    def pass_fence(self, fence: Fence) -> bool:
        """Tell whether nobody has been here whom it must not follow; from now on nobody below its lowest passes."""
        self.fences[fence.name] = max(self.fences.get(fence.name, 0), fence.lowest)
        return self.fences[fence.name] <= fence.number

    def spoken_for(self) -> Usage:
        """Give what is there and what is claimed, together."""
        claims = self.claims.values()
        return Usage(
            bytes=self.held_bytes + sum(claim.bytes for claim in claims),
            files=self.held_files + sum(claim.files for claim in claims),
        )

    def has_room(self, quota: Quota, more: Usage) -> bool:
        """Tell whether `more` fits beside all that is spoken for."""
        return self.excess(quota, more) is None

    def excess(self, quota: Quota, more: Usage) -> tuple[int, int, str] | None:
        """Give the limit that `more` would break, what there would be, and the unit; None if none."""
        spoken_for = self.spoken_for()
        if quota.bytes is not None and more.bytes and spoken_for.bytes + more.bytes > quota.bytes:
            return quota.bytes, spoken_for.bytes + more.bytes, "bytes"
        if quota.files is not None and more.files and spoken_for.files + more.files > quota.files:
            return quota.files, spoken_for.files + more.files, "files"
        return None

    def step(self, quota: Quota, need_bytes: int, name: str) -> int:
        """Give how many bytes to claim for `name` when `need_bytes` are needed and fit: more, to ask rarely."""
        # As much again as it has: a small file claims little, and a large one asks ever more rarely.
        ahead_bytes = max(STEP_BYTES, min(LARGEST_STEP_BYTES, self.claims.get(name, Claim(0, 0)).bytes))
        return max(need_bytes, min(ahead_bytes, spare_of(quota.bytes, self.spoken_for().bytes)))

    def claim(self, name: str, more: Usage) -> None:
        """Enter `more` under the claim `name`."""
        held = self.claims.get(name, Claim(0, 0))
        self.claims[name] = Claim(held.bytes + more.bytes, held.files + more.files)

    @property
    def has_bundles(self) -> bool:
        """Whether files that are to appear together were begun and not ended."""
        return any(name.startswith(MANY_PREFIX) for name in self.claims)

    def drop(self, name: str) -> None:
        """Take the claim `name` out; its file is gone."""
        self.claims.pop(name, None)

    def settle(self, name: str, published: Usage) -> None:
        """Turn the claim `name` into what was published."""
        self.drop(name)
        # What the new file replaced stays counted: its size may have been another program's doing and
        # never entered here, and taking it out would then lose count of our own. A recount corrects it.
        self.held_bytes += published.bytes
        self.held_files += published.files
