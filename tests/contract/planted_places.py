"""Places for files with one thing wrong each: what the kit must catch, and by which cases."""

import io
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from attrs import frozen

from sessionguard.core.commands import Fence
from sessionguard.errors import PathEscapeError
from sessionguard.testing.model.folders import Folder, ModelWorkspace, ModelWorkspaces
from sessionguard.testing.model.unfinished import UnfinishedFile, missing
from sessionguard.workspaces import Exported, LocalWorkspace, LocalWorkspaces, Quota, Removal
from sessionguard.workspaces.names import parse_name


@frozen
class Planted:
    """A place with a bug, and the cases that fail on it."""

    make: Callable[..., Any]
    caught_by: tuple[str, ...]


PLANTED: Final[dict[str, Planted]] = {}
"""Every broken place in memory by its name."""


def caught_by(*cases: str) -> Any:
    """Enter a broken workspace, or a place of them, under its own name."""

    def enter(broken: type) -> type:
        make = broken
        if issubclass(broken, ModelWorkspace):
            make = type(broken.__name__, (ModelWorkspaces,), {"workspace": broken})
        PLANTED[broken.__name__] = Planted(make, cases)
        return broken

    return enter


# Names


@caught_by("ordinary_names_are_listed_as_they_were_given")
class KnowsAsciiOnly(ModelWorkspace):
    """Refuses names in most scripts of the world."""

    def named(self, name: str) -> str:
        if not name.isascii():
            raise PathEscapeError(self.session_id, name, "it is not ASCII")
        return super().named(name)


@caught_by("names_off_the_allow_list_are_refused_by_every_call")
class TakesAnyName(ModelWorkspace):
    """Asks nobody whether a name leads outside."""

    def named(self, name: str) -> str:
        return str(name)


@caught_by("composed_and_decomposed_are_one_name")
class KeepsForms(ModelWorkspace):
    """Keeps a name in the form in which it was given."""

    def named(self, name: str) -> str:
        parse_name(self.session_id, name)
        return name


@caught_by("names_that_look_alike_cannot_stand_side_by_side", "a_file_is_no_directory")
class JudgesNoNeighbours(ModelWorkspace):
    """Knows only names that are equal."""

    def judge(self, name: str, *, is_new: bool) -> None:
        if is_new and name in self.folder.files:
            raise FileExistsError(17, "exists", name)


# Files


@caught_by("what_is_written_is_read")
class CountsCharacters(ModelWorkspace):
    """Gives the length of text in characters."""

    def write(self, name: str, data: bytes | str | Iterable[bytes]) -> int:
        length = super().write(name, data)
        return len(data) if isinstance(data, str) else length


@caught_by("an_open_file_is_taken_in_pieces")
class TakesLines(ModelWorkspace):
    """Takes a file by its lines, one of which may be all of it."""

    def write(self, name: str, data: bytes | str | Iterable[bytes]) -> int:
        return super().write(name, data if isinstance(data, str | bytes) else iter(data))


@caught_by("an_open_file_is_taken_in_pieces")
class TakesAllAtOnce(ModelWorkspace):
    """Takes a file whole."""

    def write_all(self, files: Any, **options: Any) -> list[str]:
        whole = [(name, data.read(2**30) if hasattr(data, "read") else data) for name, data in files]
        return super().write_all(whole, **options)


@caught_by("what_is_being_read_outlives_the_lease")
class ClosesWhatIsRead(ModelWorkspace):
    """Takes the files from under those who still send them."""

    def _reading(self, name: str, kind: str, encoding: str, newline: str | None) -> IO[Any]:
        self.read_by_others = super()._reading(name, kind, encoding, newline)
        return self.read_by_others

    def close(self) -> None:
        super().close()
        if hasattr(self, "read_by_others"):
            self.read_by_others.close()


@caught_by("what_is_no_data_is_refused")
class TakesAnything(ModelWorkspace):
    """Writes what it is given as text."""

    def write(self, name: str, data: Any) -> int:
        return super().write(name, data if isinstance(data, str | bytes) or hasattr(data, "read") else str(data))


@caught_by("a_link_is_given_or_refused_with_the_reason")
class GivesPaths(ModelWorkspace):
    """Gives what no browser can follow."""

    def download_url(self, name: str, **options: Any) -> str:
        return f"/srv/{name}"


@caught_by("a_file_of_megabytes_streams_through")
class KeepsTheFirstMegabyte(ModelWorkspace):
    """Cuts what is long."""

    def publish(self, files: dict[str, bytes]) -> None:
        super().publish({name: content[: 1024 * 1024] for name, content in files.items()})


@caught_by("text_is_utf_8_unless_said_otherwise")
class TranslatesNewlines(ModelWorkspace):
    """Writes text as a Windows machine would."""

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        return super().open(name, mode, encoding=encoding, newline="\r\n" if "w" in mode else newline)


@caught_by("files_are_listed_sorted_and_counted")
class ListsAsTheyCame(ModelWorkspace):
    """Lists in the order of writing."""

    def list(self) -> list[str]:
        return [name for name in self.folder.files if name in super(ListsAsTheyCame, self).list()]


@caught_by("a_missing_file_is_told_by_its_own_name")
class TellsPathsOfTheMachine(ModelWorkspace):
    """Shows where its files are."""

    def _reading(self, name: str, kind: str, encoding: str, newline: str | None) -> IO[Any]:
        if name not in self.folder.files:
            raise missing(f"/srv/{name}")
        return super()._reading(name, kind, encoding, newline)


@caught_by("what_is_deleted_is_gone")
class DeletesByPrefix(ModelWorkspace):
    """Takes along what begins alike."""

    def delete(self, name: str) -> bool:
        for other in [other for other in self.folder.files if other.startswith(name[:2])]:
            self.folder.files.pop(other)
            super().delete(other)
        return True


class InPlace(UnfinishedFile):
    """A file that is seen while it is written."""

    def write(self, data: Any, /) -> int:
        length = super().write(data)
        self.workspace.publish({self.name: bytes(self.content)})
        return length


@caught_by("a_file_appears_only_when_it_is_closed", "an_exception_discards_what_was_written")
class WritesInPlace(ModelWorkspace):
    """Shows files that are not finished."""

    unfinished_file = InPlace


class PublishedWhenForgotten(UnfinishedFile):
    """A file that does what files of Python do."""

    def abandon(self) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


@caught_by("a_forgotten_file_is_not_published")
class PublishesForgottenFiles(ModelWorkspace):
    """Takes the end of a file for its completion."""

    unfinished_file = PublishedWhenForgotten

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        file = super().open(name, mode, encoding=encoding, newline=newline)
        # Else nobody would be left to find it in.
        self.folder.unfinished = set(self.folder.unfinished)  # type: ignore[assignment]
        return file

    def close(self) -> None:
        for file in list(self.folder.unfinished):
            file.close()
        super().close()

    def list(self) -> list[str]:
        for file in list(self.folder.unfinished):
            file.close()
        return super().list()


class JudgedAtOpening(UnfinishedFile):
    """A file that looks at its name once."""

    def close(self) -> None:
        self.must_be_new = False
        super().close()


@caught_by("exclusive_creation_never_replaces")
class JudgesNamesAtOpening(ModelWorkspace):
    """Does not see who came meanwhile."""

    unfinished_file = JudgedAtOpening


@caught_by("closing_the_workspace_discards_unfinished_files", "a_closed_workspace_is_of_no_use")
class NeverCloses(ModelWorkspace):
    """Forgets that it was closed."""

    def check(self) -> None:
        pass

    def close(self) -> None:
        with self.place.lock:
            self.place.let_go(self, self.folder)


@caught_by("readers_see_the_old_file_or_the_new")
class PublishesInTwoSteps(ModelWorkspace):
    """Shows the first half before the whole."""

    def publish(self, files: dict[str, bytes]) -> None:
        super().publish({name: content[: len(content) // 2] for name, content in files.items()})
        time.sleep(0.001)  # Readers wait for no lock.
        super().publish(files)


# Quotas


@caught_by("a_quota_is_exact")
class AllowsOneMore(ModelWorkspace):
    """Compares with the wrong sign."""

    def admit(self, file: UnfinishedFile, name: str, size: int) -> None:
        super().admit(file, name, max(0, size - 1))


@caught_by("bytes_are_counted_while_they_arrive")
class CountsAtTheEnd(ModelWorkspace):
    """Lets bytes arrive for ever."""

    def admit(self, file: UnfinishedFile, name: str, size: int) -> None:
        if not size or size == file.size:
            super().admit(file, name, size)


@caught_by("what_was_there_stays_when_a_replacement_does_not_fit")
class TruncatesAtOpening(ModelWorkspace):
    """Makes room before it knows that the new one fits."""

    def open(self, name: str, mode: str = "rb", *, encoding: str = "utf-8", newline: str | None = None) -> IO[Any]:
        file = super().open(name, mode, encoding=encoding, newline=newline)
        if "w" in mode:
            self.folder.files.pop(self.named(name), None)
        return file


@caught_by("unfinished_files_take_room")
class CountsWhatIsFinished(ModelWorkspace):
    """Sees no room taken by those who are writing."""

    def admit(self, file: UnfinishedFile, name: str, size: int) -> None:
        kept, self.folder.unfinished = self.folder.unfinished, type(self.folder.unfinished)()
        try:
            super().admit(file, name, size)
        finally:
            self.folder.unfinished = kept


@caught_by("deleting_makes_room")
class NeverGivesRoomBack(ModelWorkspace):
    """Counts what was deleted."""

    def delete(self, name: str) -> bool:
        size = len(self.folder.files.get(self.named(name), b""))
        if self.quota.bytes is not None:
            self.quota = Quota(self.quota.bytes - size, self.quota.files)
        return super().delete(name)


@caught_by("writers_at_once_keep_the_quota")
class CountsAtOpening(ModelWorkspace):
    """Asks whether there is room before it is known how much is needed."""

    def admit(self, file: UnfinishedFile, name: str, size: int) -> None:
        super().admit(file, name, 0)


@caught_by("what_an_owner_may_hold_is_counted_over_all_his_sessions")
class CountsEachSessionAlone(ModelWorkspace):
    """Lets an owner have his quota once for each session."""

    def of_same_owner(self) -> list[Folder]:
        return []


# Leases


@caught_by("a_lease_is_shared")
class LeasesCopies(ModelWorkspaces):
    """Gives each a workspace of their own."""

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> ModelWorkspace:
        workspace = super().lease(session_id, quota, fence)
        workspace.folder = Folder(dict(workspace.folder.files))
        return workspace


@caught_by("what_is_in_use_is_not_removed", "a_forked_child_neither_uses_nor_ends_the_lease")
class RemovesUnderUsers(ModelWorkspaces):
    """Asks nobody."""

    def remove(self, session_id: str) -> Removal:
        folder = self.folders.get(session_id)
        if folder is not None:
            folder.leases.clear()
        return super().remove(session_id)


@caught_by("there_is_no_new_lease_where_a_removal_waits")
class LeasesWhatIsGoing(ModelWorkspaces):
    """Takes a new lease for a reason to keep it."""

    def folder_of(self, session_id: str) -> Folder:
        folder = super().folder_of(session_id)
        folder.is_pending = False
        return folder


@caught_by("a_hold_opens_what_waits_for_removal")
class RefusesItsHolders(ModelWorkspaces):
    """Takes a hold for somebody new."""

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> ModelWorkspace:
        is_late = session_id in self.folders and self.folders[session_id].is_pending
        return super().lease(session_id, quota, None if is_late else fence)


@caught_by("only_a_session_id_is_taken_for_one")
class TakesAnyId(ModelWorkspaces):
    """Makes a session_id of whatever it is given."""

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> ModelWorkspace:
        return super().lease(str(session_id).lower().strip()[:34].rjust(34, "0"), quota, fence)


@caught_by("a_place_must_be_opened_first")
class WorksUnopened(ModelWorkspaces):
    """Works for a deployment without a name."""

    def __init__(self) -> None:
        super().__init__()
        self.open("anybody's")


# Looking


@caught_by("what_is_measured_is_what_a_removal_tells")
class MeasuresByRemoving(ModelWorkspaces):
    """Finds out by doing."""

    def measure(self, session_id: str) -> Removal:
        return self.remove(session_id)


@caught_by("what_is_in_use_is_measured_as_deferred")
class MeasuresWhatIsInUse(ModelWorkspaces):
    """Does not ask who is at it."""

    def measure(self, session_id: str) -> Removal:
        return self.folders[session_id].removal()


@caught_by("what_changed_lately_is_young")
class FindsNothingYoung(ModelWorkspaces):
    """Takes what changed after the instant for old."""

    def is_young(self, session_id: str, age: timedelta, at: datetime | None) -> bool:
        at = at or datetime.now(UTC)
        return super().is_young(session_id, age, at) and self.folders[session_id].changed_at <= at


@caught_by("leftovers_are_the_next_candidates")
class LooksByGoingOn(ModelWorkspaces):
    """Begins where the last look ended."""

    def leftovers(self, limit: int, deployment_id: str | None = None) -> list[str]:
        return self.candidates(limit, deployment_id)


# Removal


@caught_by("removal_tells_what_is_gone", "every_call_can_be_awaited")
class RemovesInSilence(ModelWorkspaces):
    """Tells nothing of what it removed."""

    def remove(self, session_id: str) -> Removal:
        return Removal(0, 0, deferred=super().remove(session_id).deferred)


@caught_by("removal_touches_no_other_session")
class RemovesByBeginning(ModelWorkspaces):
    """Takes along sessions whose ids begin alike."""

    def remove(self, session_id: str) -> Removal:
        for twin in [twin for twin in self.folders if twin[:33] == session_id[:33] and twin != session_id]:
            super().remove(twin)
        return super().remove(session_id)


@caught_by("deployments_are_kept_apart")
class OneForAllDeployments(ModelWorkspaces):
    """Keeps the files of all deployments together."""

    @property
    def folders(self) -> dict[str, Folder]:
        assert super().folders is not None
        return self.deployments.setdefault("all", {})


class ByName(UnfinishedFile):
    """A file that looks up its workspace when it is closed."""

    def close(self) -> None:
        if not self.closed and not hasattr(self, "is_done"):
            self.is_done = True
            self.workspace.place.folder_of(self.workspace.session_id).files[self.name] = bytes(self.content)


@caught_by("a_file_closed_after_the_removal_brings_nothing_back")
class PublishesByName(ModelWorkspace):
    """Makes a removed workspace anew."""

    unfinished_file = ByName

    def close(self) -> None:
        self.place.let_go(self, self.folder)


@caught_by("candidates_come_round_to_every_session")
class AlwaysTheFirst(ModelWorkspaces):
    """Begins anew each time."""

    def following(self) -> list[str]:
        return sorted(self.folders)


@caught_by("waiting_removals_are_named_first")
class NamesNoWaiting(ModelWorkspaces):
    """Treats all alike."""

    def candidates(self, limit: int, deployment_id: str | None = None) -> list[str]:
        return sorted(super().candidates(limit, deployment_id), key=lambda each: self.folders[each].is_pending)


@caught_by("a_quarantined_workspace_is_out_of_reach")
class QuarantinesInPlace(ModelWorkspaces):
    """Leaves what it should keep where everyone finds it."""

    def quarantine(self, session_id: str) -> bool:
        folder = self.folders.get(session_id)
        done = super().quarantine(session_id)
        if done and folder is not None:
            self.folders[session_id] = folder
        return done


@caught_by("there_is_nothing_to_quarantine_without_a_file")
class QuarantinesEmptiness(ModelWorkspaces):
    """Keeps what holds nothing."""

    def quarantine(self, session_id: str) -> bool:
        return super().quarantine(session_id) or self.folders.pop(session_id, None) is None


@caught_by("what_is_in_use_is_not_quarantined")
class QuarantinesUnderUsers(ModelWorkspaces):
    """Asks nobody."""

    def quarantine(self, session_id: str) -> bool:
        folder = self.folders.get(session_id)
        if folder is not None:
            folder.leases.clear()
        return super().quarantine(session_id)


# Fences


@caught_by("a_later_holder_ends_what_an_earlier_one_was_writing", "whoever_comes_with_a_lower_fence_is_not_let_in")
class KnowsNoFences(ModelWorkspace):
    """Writes for whoever comes."""

    def pass_fence(self) -> None:
        pass


@caught_by("who_hold_it_together_are_not_in_each_others_way")
class LetsOneWrite(ModelWorkspace):
    """Takes whoever came last for the only one."""

    def pass_fence(self) -> None:
        if self.fence is not None:
            self.fence = Fence(self.fence.name, self.fence.number)
        super().pass_fence()


@caught_by("who_hold_it_together_are_not_in_each_others_way")
class LetsAllWrite(ModelWorkspace):
    """Takes whoever ever held it for one who does."""

    def pass_fence(self) -> None:
        if self.fence is not None and self.fence.floor is not None:
            self.fence = Fence(self.fence.name, self.fence.number, 0)
        super().pass_fence()


@caught_by("other_locks_and_no_lock_are_not_in_the_way")
class OneFenceForAllLocks(ModelWorkspace):
    """Compares the fences of different locks."""

    def pass_fence(self) -> None:
        if self.fence is not None:
            self.fence = Fence("any", self.fence.number)
        super().pass_fence()


# Threads and forks


class NoLock:
    """A lock that keeps nobody out."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Forgetful(ModelWorkspace):
    """Publishes by replacing all files."""

    def publish(self, files: dict[str, bytes]) -> None:
        all_files = {**self.folder.files, **files}
        time.sleep(0.001)
        self.folder.files = all_files


@caught_by("threads_share_a_workspace")
class LosesFilesOfOtherThreads(ModelWorkspaces):
    """Reads all, adds one, writes all."""

    workspace = Forgetful

    def __init__(self) -> None:
        super().__init__()
        self.lock: Any = NoLock()


@caught_by("a_forked_child_neither_uses_nor_ends_the_lease")
class GoesOnInChildren(ModelWorkspace):
    """Does not know in which process it was opened."""

    def check(self) -> None:
        self._pid = os.getpid()
        super().check()


@caught_by("every_call_can_be_awaited")
class BoundToItsThread(ModelWorkspace):
    """Works in the thread that leased it only, as a connection to SQLite does."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.thread = threading.get_ident()

    def check(self) -> None:
        super().check()
        assert self.thread == threading.get_ident()


# Many files


@caught_by("many_files_appear_together", "of_many_files_none_appears_if_one_fails")
class WritesOneByOne(ModelWorkspace):
    """Lets each appear as it comes."""

    def write_all(self, files: Any, *, expected: Any = None, replace: bool = True) -> list[str]:
        names = []
        for name, data in files:
            with self.open(name, "wb" if replace else "xb") as file:
                file.write(
                    data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else b"".join(data)
                )
            names.append(name)
        return sorted(names)


@caught_by("an_archive_comes_back_as_it_went")
class ExportsFlat(ModelWorkspace):
    """Leaves directories out of names."""

    def export_zip(self, target: Any) -> Exported:
        with zipfile.ZipFile(target, "w") as archive:
            for name in self.list():
                archive.writestr(Path(name).name, self.read(name))
        return Exported(tuple(self.list()), self.usage().bytes, ())


@caught_by("a_refused_archive_leaves_nothing")
class ImportsAsItReads(ModelWorkspace):
    """Judges each entry when its turn comes."""

    def import_zip(self, source: Any, *, into: str = "", limits: Any = None, replace: bool = False) -> list[str]:
        from sessionguard.errors import ArchiveRefusedError

        with zipfile.ZipFile(io.BytesIO(source.getvalue())) as archive:
            for name in archive.namelist():
                try:
                    self.write(name, archive.read(name))
                except (PathEscapeError, zipfile.BadZipFile) as error:
                    raise ArchiveRefusedError(self.session_id, name, "it is not good") from error
            return archive.namelist()


# On the disk


class PathAbove(LocalWorkspace):
    """Gives the directory above."""

    @property
    def path(self) -> Path:
        return super().path.parent


class Overwriting(LocalWorkspace):
    """Writes files where they are, the second half with the next one, as a file that nobody flushes."""

    def write(self, name: str, data: Any) -> int:
        # Nearly always half a file, so that whoever kills it at any moment finds that.
        path, rest = self.__dict__.pop("rest", (None, b""))
        if path is not None:
            with open(path, "ab", buffering=0) as file:
                file.write(rest)
        with open(self.path / name, "wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
        self.__dict__["rest"] = (self.path / name, data[len(data) // 2 :])
        return len(data)


class OfPathsAbove(LocalWorkspaces):
    """Workspaces whose path is not that of their files."""

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> LocalWorkspace:
        workspace = super().lease(session_id, quota, fence)
        workspace.__class__ = PathAbove
        return workspace


class OfOverwriting(LocalWorkspaces):
    """Workspaces that are written in place."""

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> LocalWorkspace:
        workspace = super().lease(session_id, quota, fence)
        workspace.__class__ = Overwriting
        return workspace


class RememberingDead(LocalWorkspaces):
    """Workspaces in whose account the dead live on."""

    def lease(self, session_id: str, quota: Quota, fence: Fence | None = None) -> LocalWorkspace:
        workspace = super().lease(session_id, quota, fence)
        holdings = workspace._ledger._holdings
        holdings.claims_of_the_living = lambda book, **settings: book.claims  # type: ignore[method-assign]
        return workspace


PLANTED_ON_DISK: Final = {
    "OfPathsAbove": Planted(OfPathsAbove, ("a_path_is_the_directory_of_the_files",)),
    "OfOverwriting": Planted(OfOverwriting, ("a_killed_writer_leaves_the_old_or_the_new",)),
    "RememberingDead": Planted(RememberingDead, ("what_a_killed_writer_held_is_given_back",)),
}
"""Every broken place on the disk by its name."""
