"""Keep what all workspaces of one owner hold together within his quota, across sessions, threads and processes.

Whoever comes here keeps the ledger of his session, and only then the account of the owner; nobody waits for a ledger
while he keeps an account. So the ledgers of others are looked into only where they are free.
"""

import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sessionguard import booting
from sessionguard.errors import LeaseLostError, QuotaExceededError, WorkspaceError
from sessionguard.workspaces.identities import is_owner_key, is_session_id
from sessionguard.workspaces.local.accounts import Account
from sessionguard.workspaces.local.book import Book, spare_of
from sessionguard.workspaces.local.deployment import Deployment
from sessionguard.workspaces.local.descriptors import (
    is_still_named,
    look,
    make_directory,
    names_in,
    open_directory,
    open_for_reading,
    open_for_writing,
)
from sessionguard.workspaces.local.holdings import Holdings
from sessionguard.workspaces.local.keeping import ASIDE, Pulse, kept, kept_if_free
from sessionguard.workspaces.local.layout import (
    FILES,
    LEDGER,
    OWNERS,
    PRIVATE,
    shard_of,
    shard_of_owner,
)
from sessionguard.workspaces.local.lines import read_line, write_line
from sessionguard.workspaces.local.reaches import ACCOUNTS, reach, taken
from sessionguard.workspaces.local.tree import FileTree
from sessionguard.workspaces.quota import OwnerQuota, Usage

_log = logging.getLogger("sessionguard.workspaces")

Beat = Callable[[], None]


class Owners:
    """The accounts of all owners of one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def admit(
        self, quota: OwnerQuota, session_id: str, own: Usage, more: Usage, wanted_bytes: int, beat: Beat
    ) -> int | None:
        """Enter `own` and `more` for a session, and give how many bytes it may claim: up to `wanted_bytes`, if free.

        None if `more` does not fit, as far as is known: then `admit_after_recount` knows.
        """
        with self._account(quota.key, session_id, beat) as account:
            if account.excess(quota, session_id, own, more) is not None:
                return None
            used_bytes = account.total.bytes - account.told(session_id).bytes + own.bytes
            granted = max(more.bytes, min(wanted_bytes, spare_of(quota.bytes, used_bytes)))
            account.tell(session_id, Usage(own.bytes + granted, own.files + more.files))
        return granted

    def admit_after_recount(self, quota: OwnerQuota, session_id: str, own: Usage, more: Usage, beat: Beat) -> int:
        """Enter the same once everything was counted anew.

        Raises:
            QuotaExceededError: it does not fit; `own` alone was entered.
        """
        with self._account(quota.key, session_id, beat, deeply=True) as account:
            excess = account.excess(quota, session_id, own, more)
            if excess is not None:
                # What the session has may not have been entered, as on a full disk; the others have to know.
                account.tell(session_id, own)
                limit, used, unit = excess
                raise QuotaExceededError(session_id, limit, used, unit, "owner")
            account.tell(session_id, Usage(own.bytes + more.bytes, own.files + more.files))
        return more.bytes

    def settle(self, key: str, session_id: str, own: Usage, beat: Beat) -> None:
        """Enter what a session has now. What cannot be entered is told to the log, and found by a recount."""
        try:
            with self._account(key, session_id, beat) as account:
                account.tell(session_id, own)
        except (OSError, WorkspaceError) as error:
            # What the caller did is done: his file is published, or gone.
            _log.warning("the account of the owner of session %s is out of date: %s", session_id, error)

    def leave(self, key: str, session_id: str) -> None:
        """Give back what a session has; what cannot be entered is told to the log, and found by a recount."""
        try:
            with self._deployment.opened(OWNERS, shard_of_owner(key)) as shard:
                if shard is None or look(key, shard) is None:
                    return
            with self._account(key, session_id, _no_beat) as account:
                account.drop(session_id)
            self._remove_if_empty(key)
        except (OSError, WorkspaceError) as error:
            _log.warning("the account of the former owner of session %s is out of date: %s", session_id, error)

    def leave_for_good(self, session_id: str, session: int) -> None:
        """Give back what a session has whose directory, `session`, is held alone and about to go."""
        key = _owner_in(session)
        if key:
            self.leave(key, session_id)

    def forget_the_gone(self, limit: int) -> None:
        """Take up to `limit` sessions out of accounts whose directories are gone, as after a crash while they went."""
        with self._deployment.opened(OWNERS) as owners:
            shards = [] if owners is None else names_in(owners)
        for shard_name in random.sample(shards, len(shards)):
            with self._deployment.opened(OWNERS, shard_name) as shard:
                keys = [] if shard is None else [name for name in names_in(shard) if is_owner_key(name)]
                for key in keys:
                    if shard is None or limit <= 0:
                        return
                    limit -= self._forget_in(key, shard)
                    self._remove_if_empty(key)

    def _forget_in(self, key: str, shard: int) -> int:
        with suppress(FileNotFoundError), kept_if_free(key, shard, open_directory) as folder:
            if folder is not None:
                account = Account(folder)
                sessions = account.sessions()
                for session_id in sessions:
                    if not self._exists(session_id):
                        account.drop(session_id)
                return max(1, len(sessions))
        return 1

    @contextmanager
    def _account(self, key: str, session_id: str, beat: Beat, *, deeply: bool = False) -> Iterator[Account]:
        """Give the account for changing; counted anew where it cannot be believed, or `deeply`."""
        with (
            taken(ACCOUNTS, key),
            self._deployment.made(OWNERS, shard_of_owner(key)) as shard,
            kept(key, shard, make_directory, session_id, beat) as folder,
        ):
            account = Account(folder)
            own_pulse = Pulse(folder)

            def both() -> None:
                beat()
                own_pulse.beat()

            if deeply or not account.is_readable:
                self._recount(account, key, shard, session_id, deeply, both)
            reach("write the account", ACCOUNTS, key, "w")
            try:
                yield account
            except FileNotFoundError:
                # As below, where the folder is gone already.
                _check(session_id, key, shard, folder)
                raise
            _check(session_id, key, shard, folder)

    def _recount(self, account: Account, key: str, shard: int, own_id: str, deeply: bool, beat: Beat) -> None:
        """Count what the sessions of an owner have, from their own books or, `deeply`, from their files."""
        former = [name for name in names_in(shard) if name.startswith(key + ASIDE)]
        members = set(account.sessions()).union(*(_sessions_in(name, shard) for name in former))
        counted: dict[str, Usage] = {}
        for session_id in members:
            told = account.told(session_id)
            # Its own ledger is in the hands of whoever asks, who tells next what it has.
            share = told if session_id == own_id else self._share(key, session_id, told, deeply, beat)
            if share is not None:
                counted[session_id] = share
        account.replace(counted)
        for name in former:
            _remove_folder(name, shard)

    def _share(self, key: str, session_id: str, told: Usage, deeply: bool, beat: Beat) -> Usage | None:
        """Give what a session has by its own book; None if it is gone, or another owner's."""
        with self._deployment.opened(shard_of(session_id)) as shard:
            if shard is None or look(session_id, shard) is None:
                return None
            try:
                with (
                    _descended(session_id, shard) as session,
                    _descended(PRIVATE, session) as private,
                    _descended(FILES, session) as files,
                    kept_if_free(LEDGER, private, open_for_writing) as ledger,
                ):
                    if ledger is None:
                        # What its keeper was just given is entered here, and not yet in his book.
                        return told
                    holdings = Holdings(session_id, FileTree(session_id, files), private)
                    if holdings.publications():
                        # Of files that a crash kept from getting their names; its next lease gives them.
                        return told
                    return _counted(key, holdings, ledger, deeply, beat)
            except (FileNotFoundError, NotADirectoryError):
                # It is just being removed, or somebody put something else in its place.
                return told

    def _exists(self, session_id: str) -> bool:
        with self._deployment.opened(shard_of(session_id)) as shard:
            return shard is not None and look(session_id, shard) is not None

    def _remove_if_empty(self, key: str) -> None:
        with self._deployment.opened(OWNERS, shard_of_owner(key)) as shard, suppress(FileNotFoundError):
            if shard is None:
                return
            with kept_if_free(key, shard, open_directory) as folder:
                if folder is not None and not Account(folder).sessions():
                    _remove_folder(key, shard)


def _counted(key: str, holdings: Holdings, ledger: int, deeply: bool, beat: Beat) -> Usage | None:
    epoch = booting.this_boot().hex()
    text = read_line(ledger)
    book, former = Book.read(text, epoch), Book.read(text)
    if former is not None and former.owner != key:
        return None
    if book is None:
        # Its next writer counts for himself, and finds out what was put aside.
        book = Book(epoch)
        holdings.recount(book, beat, is_new=True)
    elif deeply:
        holdings.recount(book, beat)
        write_line(ledger, book.text())
    return book.spoken_for()


def _owner_in(session: int) -> str:
    """Give the key of the owner that a session's book names, whatever else is wrong with that; empty if none."""
    try:
        descriptor = open_for_reading(f"{PRIVATE}/{LEDGER}", session)
    except OSError:
        return ""
    try:
        book = Book.read(read_line(descriptor))
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return book.owner if book is not None else ""


@contextmanager
def _descended(name: str, parent: int) -> Iterator[int]:
    descriptor = open_directory(name, parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sessions_in(name: str, shard: int) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError), _descended(name, shard) as folder:
        return [found for found in names_in(folder) if is_session_id(found)]
    return []


def _remove_folder(name: str, shard: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError), _descended(name, shard) as folder:
        for found in names_in(folder):
            with suppress(FileNotFoundError):
                os.unlink(found, dir_fd=folder)
    # One who stood still may put something in at this moment; then the next recount removes it.
    with suppress(OSError):
        os.rmdir(name, dir_fd=shard)


def _check(session_id: str, key: str, shard: int, folder: int) -> None:
    if not is_still_named(key, shard, folder):
        raise LeaseLostError(session_id, "this process stood still for so long that another took its place")


def _no_beat() -> None:
    """Nobody waits for what the caller keeps."""
