"""All rows of the table, with who must catch what."""

from collections.abc import Mapping
from typing import Final

from sessionguard.testing.mutants.table import (
    caches,
    connections,
    faulting,
    files,
    locking,
    paths,
    requests,
    slots,
    slots_on_disk,
    slots_on_redis,
    store_races,
    stores,
    versions,
)
from sessionguard.testing.mutants.table.racing import Race, RaceFunction
from sessionguard.testing.mutants.table.rows import Layer, Row, Specimen, Trial, specimen
from sessionguard.testing.mutants.table.sequential import contract, machine
from sessionguard.testing.mutants.table.stores import TheModel, of_kit, of_store
from sessionguard.testing.servers import RedisServer


def _row(
    number: int,
    title: str,
    required: str,
    mutants: tuple[Specimen, ...],
    twins: tuple[Specimen, ...],
    **trials: Trial,
) -> Row:
    """Give a row; `required` holds the letters of the layers, and each trial is named by its letter."""
    by_layer: Mapping[Layer, Trial] = trials  # type: ignore[assignment]
    assert set(required) <= by_layer.keys()
    return Row(number, title, frozenset(required), mutants, twins, by_layer)  # type: ignore[arg-type]


def _all(*kinds: type) -> tuple[Specimen, ...]:
    return tuple(map(specimen, kinds))


def _stores(number: int, title: str, required: str, *mutants: Specimen, race: RaceFunction, **trials: Trial) -> Row:
    """Give a row of whole stores, which every layer but that of faults can examine."""
    return _row(number, title, required, mutants, (of_store(TheModel),), C=contract, H=machine, I=Race(race), **trials)


def _on_redis(kind: type) -> Specimen:
    return specimen(kind, engine=lambda: RedisServer(appendonly="no"))


_FIRST_REQUESTS: Final = Race(slots.first_requests)

ROWS: Final = (
    _stores(1, "check-then-insert", "I", of_kit("CheckThenInsert"), race=store_races.FIRST_REQUESTS),
    _row(
        1,
        "check-then-insert, in other engines",
        "I",
        (*_all(slots.LooksThenInserts, slots_on_disk.WritesWhatIsNotThere), _on_redis(slots_on_redis.GetsThenSets)),
        (
            *_all(
                slots.InsertsIfAbsent,
                slots.LooksUnderALock,
                slots.LooksTwice,
                slots_on_disk.LinksExclusively,
                slots_on_disk.ClaimsThenRenames,
                slots_on_disk.LooksUnderFlock,
                slots_on_disk.LooksUnderFileLock,
            ),
            _on_redis(slots_on_redis.ComparesInLua),
            _on_redis(slots_on_redis.WatchesAndRetries),
        ),
        I=_FIRST_REQUESTS,
    ),
    _row(
        2,
        "insert without a unique constraint",
        "IK",
        _all(slots_on_disk.InsertsTwice),
        _all(slots_on_disk.InsertsOrIgnores, slots_on_disk.RetriesOnIntegrityError),
        I=_FIRST_REQUESTS,
        K=faulting.SLOTS,
    ),
    _row(
        3,
        "a cache that is refilled after the end",
        "I",
        _all(caches.RefillsAfterTheEnd),
        _all(caches.RefillsUnlessDropped, caches.NeverCaches),
        I=Race(caches.an_end_under_a_cache),
    ),
    _stores(
        4,
        "an id chosen by the client is trusted",
        "C",
        of_kit("AdoptsUnknownTokens"),
        of_kit("AdoptsUnknownIds"),
        of_store(stores.RevivesOnOldTokens),
        race=store_races.LOGOUT,
    ),
    _row(
        5,
        "session state in a module",
        "I",
        _all(requests.OneUserForAll),
        _all(requests.OneUserPerThread, requests.UserIsPassed),
        I=Race(requests.two_users),
    ),
    _row(
        6,
        "a context variable that is not reset",
        "I",
        _all(requests.LeavesTheContext, requests.StreamsInTheContext),
        _all(requests.ResetsTheContext, requests.StreamsInItsOwnContext),
        I=Race(requests.one_worker_after_another),
    ),
    _stores(7, "a sweep by a stale read", "I", of_kit("SweepsByAStaleRead"), race=store_races.SWEEP),
    _stores(
        8,
        "an end that kills siblings",
        "CH",
        of_kit("EndKillsSiblings"),
        of_kit("EndsByPrefix"),
        of_store(stores.EndsByPattern),
        race=store_races.LOGOUT,
    ),
    _row(
        9,
        "finished before it can be found",
        "IK",
        _all(files.FinishesBeforePublishing),
        _all(files.PublishesBeforeFinishing, files.FindsByTheMark),
        I=Race(files.an_upload_is_finished),
        K=faulting.UPLOADS,
    ),
    _stores(10, "a lost update", "I", of_kit("WritesBackTheWholeRecord"), race=store_races.SAVES),
    _row(
        11,
        "a lock that is released early",
        "I",
        _all(locking.WritesAfterUnlocking),
        _all(locking.WritesUnderTheLock, locking.AddsInOneStep),
        I=Race(locking.three_updates),
    ),
    _row(
        12,
        "a cancellation that leaves a reply unread",
        "K",
        _all(connections.LeavesRepliesUnread),
        _all(connections.DropsTheConnection, connections.ReadsToTheEnd),
        K=faulting.cancellations,
    ),
    _row(
        13,
        "file names that lead out of the workspace",
        "CH",
        _all(paths.JoinsNames, paths.ChecksThePrefix, paths.FollowsLinks),
        _all(paths.StaysInside, paths.OurWorkspace),
        C=paths.ways_out,
        H=paths.drawn_ways_out,
    ),
    _row(
        14,
        "a connection shared across a fork",
        "K",
        _all(connections.KeepsItsConnection),
        _all(connections.ConnectsAgainAfterAFork, connections.ConnectsEachTime),
        K=faulting.forked_connections,
    ),
    _row(
        15,
        "a generator of ids shared across a fork",
        "K",
        _all(connections.DrawsFromItsGenerator),
        _all(connections.DrawsFromTheSystem, connections.SeedsAgainAfterAFork),
        K=faulting.forked_generators,
    ),
    _row(
        16,
        "a file that is written in place",
        "IK",
        _all(files.WritesInPlace),
        _all(files.WritesBesideAndReplaces, files.CreatesExclusivelyAndRenames),
        I=Race(files.a_write_and_a_read),
        K=faulting.WRITES,
    ),
    _row(
        17,
        "killed between row and directory",
        "K",
        _all(files.TrustsItsRows, files.SweepsNothing),
        _all(files.MakesGood, files.MakesTheDirectoryFirst),
        K=faulting.HALF_SESSIONS,
    ),
    _row(
        18,
        "a lock that outlives its holder",
        "K",
        _all(locking.LocksUntilReleased),
        _all(locking.LeasesTheLock, locking.LocksByTheSystem),
        K=faulting.LEASES,
    ),
    _stores(19, "generations begin anew", "HI", of_kit("GenerationRestarts"), race=store_races.REOPENING),
    _row(
        19,
        "versions begin anew",
        "HI",
        _all(versions.VersionRestarts),
        _all(versions.VersionGoesOn),
        H=versions.machine,
        I=Race(versions.a_save_over_an_end),
    ),
    _stores(20, "a save after the end", "CHI", of_kit("UpsertOnSave"), race=store_races.LOGOUT),
    _stores(
        21,
        "a wall clock that jumps",
        "HK",
        of_kit("BelievesEveryClock"),
        race=store_races.SWEEP,
        K=faulting.jumps,
    ),
    _stores(22, "alive at its deadline", "CH", of_kit("AliveAtItsDeadline"), race=store_races.SWEEP),
    _stores(23, "a token that survives the login", "C", of_store(stores.LoginKeepsTheToken), race=store_races.SAVES),
    _stores(24, "a token that survives the logout", "C", of_store(stores.LogoutKeepsTheToken), race=store_races.LOGOUT),
    _stores(25, "a mapping that is kept by reference", "CH", of_kit("KeepsTheMapping"), race=store_races.SAVES),
    _row(
        26,
        "two locks in two orders",
        "I",
        _all(locking.LocksInTwoOrders),
        _all(locking.LocksInOneOrder, locking.LocksOneAtATime),
        I=Race(locking.an_end_and_a_sweep),
    ),
    _stores(
        27, "names that are folded", "CH", of_kit("FoldsCase"), of_kit("Normalises"), race=store_races.FIRST_REQUESTS
    ),
    _row(
        30,
        "a save after the headers",
        "I",
        _all(requests.SavesAfterTheBody),
        _all(requests.SavesBeforeTheHeaders, requests.SavesOneFieldLate),
        I=Race(requests.a_request_after_the_headers),
    ),
)
"""Rows in the order of their numbers; a number with two rows has mutants of two kinds."""
