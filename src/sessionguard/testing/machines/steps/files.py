"""Steps in the workspace of a session: write, read, list and delete, by a new lease or by one that is held."""

from contextlib import suppress
from typing import Any, ClassVar

from attrs import evolve, frozen

from sessionguard.core import commands as c
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.policy import SessionPolicy
from sessionguard.core.session import Session
from sessionguard.errors import PathEscapeError, QuotaExceededError
from sessionguard.testing.machines.breaking import Interruption
from sessionguard.testing.machines.hand import Hand, Told
from sessionguard.testing.machines.steps.step import Replies, SessionStep, refused, usable_or_refused
from sessionguard.testing.machines.world import Entry, File, World, require, seen
from sessionguard.workspaces.names import collision_key, parse_name

_NO_SESSION = "0" * 34


@frozen(kw_only=True)
class FileStep(SessionStep):
    """A step in a workspace that is lent for it alone, which extends the session."""

    def about(self, hand: Hand) -> Any:
        session = super().about(hand)
        return session, hand.rules(session.scope).policy

    def ask(self, hand: Hand, about: Any) -> Any:
        with hand.guard(self.via).workspace(about[0]) as workspace:
            return self.use(workspace)

    def use(self, workspace: Any) -> Any:
        """Use the workspace."""
        raise NotImplementedError

    def judge(self, world: World, told: Told) -> World:
        session: Session = told.about[0]
        entry = usable_or_refused(world, told, session.id)
        if entry is None:
            return world
        after = self.judge_use(entry, told)
        return world.with_entry(evolve(after, record=seen(entry, told.at_us)))

    def judge_use(self, entry: Entry, told: Told) -> Entry:
        """Give the session with its files afterwards."""
        raise NotImplementedError

    def lost(self, told: Told, replies: Replies) -> Told | None:
        """Who was interrupted before the workspace was lent has extended the session at most."""
        touched = any(isinstance(reply, c.Changed) and reply.outcome is Outcome.DONE for _, reply in replies)
        return evolve(told, value=_Extended()) if touched else None


class _Extended:
    """Instead of an answer: the workspace was not used, but the session was seen."""


@frozen(kw_only=True)
class Writes(FileStep):
    """Makes or replaces a file; with `breaks`, an exception comes half-way, and nothing has happened."""

    file: str
    content: bytes
    breaks: bool = False

    def use(self, workspace: Any) -> Any:
        if not self.breaks:
            return workspace.write(self.file, self.content)
        with suppress(Interruption), workspace.open(self.file, "wb") as file:
            file.write(self.content)
            raise Interruption
        return None

    def judge_use(self, entry: Entry, told: Told) -> Entry:
        if isinstance(told.value, _Extended):
            return entry
        name = "/".join(parse_name(_NO_SESSION, self.file))
        if collides(entry.files, name):
            refused(told, PathEscapeError)
            return entry
        if isinstance(told.error, QuotaExceededError):
            require(is_tight(entry.files, name, self.content, told.about[1]), f"there is room, but it was told {told}")
            return entry
        require(told.error is None, f"writing must not fail: {told.error}")
        require(not is_over(entry.files, name, self.content, told.about[1], self.breaks), "the quota was exceeded")
        if self.breaks:
            return entry
        require(told.value == len(self.content), f"{len(self.content)} bytes were written, not {told.value}")
        others = (file for file in entry.files if file[0] != name)
        return evolve(entry, files=tuple(sorted((*others, (name, self.content)))))


def collides(files: tuple[File, ...], name: str) -> bool:
    """Tell whether another file, or a directory, has a name that some file system takes for this one."""
    parts = name.split("/")
    for other, _ in files:
        if other == name:
            continue
        for part, there in zip(parts, other.split("/"), strict=False):
            if part != there:
                if collision_key(part) == collision_key(there):
                    return True
                break
        else:
            # One is a directory in the path of the other.
            return True
    return False


def is_tight(files: tuple[File, ...], name: str, content: bytes, policy: SessionPolicy) -> bool:
    """Tell whether the file may be refused: until it is published, what it replaces counts, too."""
    size = sum(len(there) for _, there in files) + len(content)
    count = len(files) + all(there != name for there, _ in files)
    return _is_over(size, policy.workspace_bytes) or _is_over(count, policy.workspace_files)


def is_over(files: tuple[File, ...], name: str, content: bytes, policy: SessionPolicy, breaks: bool) -> bool:
    """Tell whether the files would hold more than they may with this one among them."""
    others = [len(there) for other, there in files if other != name]
    size = sum(others) + len(content)
    return not breaks and (_is_over(size, policy.workspace_bytes) or _is_over(len(others) + 1, policy.workspace_files))


def _is_over(number: int, limit: int | None) -> bool:
    return limit is not None and number > limit


@frozen(kw_only=True)
class Reads(FileStep):
    """Reads a file, by a workspace lent for it, or by one that is held."""

    file: str

    def use(self, workspace: Any) -> Any:
        return workspace.read(self.file)

    def judge_use(self, entry: Entry, told: Told) -> Entry:
        if not isinstance(told.value, _Extended):
            judge_content(entry, self.file, told)
        return entry


def judge_content(entry: Entry, file: str, told: Told) -> None:
    """Return if this is what the file holds, or that there is none; else raise `Refuted`."""
    name = "/".join(parse_name(_NO_SESSION, file))
    content = dict(entry.files).get(name)
    if content is not None:
        require(told.error is None and told.value == content, f"the file holds {content!r}, but it was told {told}")
    elif isinstance(told.error, PathEscapeError):
        nested = [other for other, _ in entry.files]
        is_part = any(f"{other}/".startswith(f"{name}/") or f"{name}/".startswith(f"{other}/") for other in nested)
        require(is_part, f"nothing there is refused, but it was told {told}")
    else:
        require(isinstance(told.error, FileNotFoundError), f"there is no such file, but it was told {told}")


@frozen(kw_only=True)
class ListsFiles(FileStep):
    """Lists the files and counts their bytes."""

    def use(self, workspace: Any) -> Any:
        return tuple(workspace.list()), workspace.usage()

    def judge_use(self, entry: Entry, told: Told) -> Entry:
        if isinstance(told.value, _Extended):
            return entry
        require(told.error is None, f"a list of files must not fail: {told.error}")
        names, usage = told.value
        require(
            names == tuple(name for name, _ in entry.files), f"the files are {entry.files}, but it was told {names}"
        )
        found = (usage.files, usage.bytes)
        expected = (len(entry.files), sum(len(content) for _, content in entry.files))
        require(found == expected, f"there are (files, bytes) {expected}, not {found}")
        return entry


@frozen(kw_only=True)
class Deletes(FileStep):
    """Deletes a file."""

    file: str

    def use(self, workspace: Any) -> Any:
        return workspace.delete(self.file)

    def judge_use(self, entry: Entry, told: Told) -> Entry:
        if isinstance(told.value, _Extended):
            return entry
        name = "/".join(parse_name(_NO_SESSION, self.file))
        left = tuple(file for file in entry.files if file[0] != name)
        if told.error is not None:
            judge_content(entry, self.file, told)
            return entry
        require(told.value is (len(left) < len(entry.files)), f"a deletion was told {told.value}")
        return evolve(entry, files=left)


@frozen(kw_only=True)
class RefusesFile(FileStep):
    """Names a file by what must not name one; nothing is made anywhere."""

    file: Any
    verb: str
    reads_only: ClassVar[bool] = False

    def use(self, workspace: Any) -> Any:
        return workspace.write(self.file, b"x") if self.verb == "write" else getattr(workspace, self.verb)(self.file)

    def judge_use(self, entry: Entry, told: Told) -> Entry:
        if not isinstance(told.value, _Extended):
            refused(told, PathEscapeError)
        return entry
