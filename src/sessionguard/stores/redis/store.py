"""The blocking Redis store: sends what the procedures ask over pooled connections, and nothing else."""

import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import evolve
from redis import exceptions as driver

from sessionguard.core import commands as c
from sessionguard.core import fleet as f
from sessionguard.core import leases as le
from sessionguard.core.findings import Finding
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.records import SessionRecord
from sessionguard.errors import IdentityMismatchError, MisuseError, SessionGuardError
from sessionguard.forking import after_fork
from sessionguard.stores.redis import (
    cleaning,
    examination,
    fleet,
    leasing,
    limiting,
    openings,
    owning,
    replies,
    translation,
)
from sessionguard.stores.redis.asking import Address, Ask, Call, Inspect, Procedure, Survey
from sessionguard.stores.redis.async_store import AsyncRedisStore
from sessionguard.stores.redis.certificates import Encryption
from sessionguard.stores.redis.contact import Contact
from sessionguard.stores.redis.handshake import Notices
from sessionguard.stores.redis.keys import Keys
from sessionguard.stores.redis.lines import Line
from sessionguard.stores.redis.pools import Pool
from sessionguard.stores.redis.routing import Routes, discovered
from sessionguard.stores.redis.settings import read_url
from sessionguard.stores.redis.surveying import by_server, in_order

R = TypeVar("R")

# Of parents: neither used nor closed here. Closing an encrypted connection would tell the server that it is over.
_inherited: Final[list[object]] = []


class RedisStore:
    """A `Store` with all abilities on a Redis or Valkey server, behind sentinels, or on a cluster.

    Usable from any thread, and again after a fork. Every call may raise: `StoreUnavailableError`, the server could not
    be asked or its memory is full; `StoreTimeoutError`, all connections stayed in use and nothing was done;
    `StoreDataError`, what is stored is not what this release writes; `IdentityMismatchError`, a reply was for another
    request, and no connection is used any more. No call waits much longer than `patience_seconds` for one answer.
    """

    name = "redis"
    limits_sessions = True
    may_forget = True
    """Acknowledged changes are lost in a failover if the replica had not received them, and in a crash if they had not
    been written to disk."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "sg",
        patience_seconds: float = 5.0,
        pool_size: int = 10,
        allow_eviction: bool = False,
        encryption: Encryption | None = None,
        sentinel_username: str | None = None,
        sentinel_password: str | None = None,
    ) -> None:
        self.settings = read_url(
            url,
            encryption=encryption,
            sentinel_username=sentinel_username,
            sentinel_password=sentinel_password,
            pool_size=pool_size,
            patience_seconds=patience_seconds,
            allow_eviction=allow_eviction,
        )
        self.keys = Keys(prefix)
        self._notices = Notices()
        self._begin()
        after_fork(self, RedisStore._start_anew)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._home = openings.Home(self.keys)
        self._pools: dict[Address, Pool] = {}
        self._routes: Routes | None = None

    def _start_anew(self) -> None:
        _inherited.append(self._pools)
        closed = self._closed
        self._begin()
        self._closed = closed

    def as_async(self) -> AsyncRedisStore:
        """Give an async store of the same place; it has connections of its own."""
        return AsyncRedisStore.of(self.settings, self.keys)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools of connections, one per server that was met."""
        return tuple(self._pools.values())

    # Asking

    def _run(self, verb: str, procedure: Procedure[R]) -> R:
        """Drive a procedure to its end."""
        result: R = self._translated(verb, self._drive, procedure)
        return result

    def _ask(self, verb: str, call: Call) -> Any:
        """Give the reply to what needs one call only."""
        return self._translated(verb, self._reply, call)

    def _translated(self, verb: str, do: Callable[[Any], Any], what: object) -> Any:
        if self._closed:
            raise MisuseError("the redis store is closed; open a new one")
        if self._pid != os.getpid():
            self._start_anew()
        try:
            return do(what)
        except IdentityMismatchError:
            # The driver of commands does so as well; to examine and to migrate, the store is called without it.
            self.distrust()
            raise
        except SessionGuardError:
            raise
        except (driver.RedisError, OSError) as error:
            raise translation.translated(verb, error, self.keys.prefix) from error

    def _drive(self, procedure: Procedure[R]) -> R:
        try:
            ask = next(procedure)
            while True:
                try:
                    reply = self._reply(ask)
                except BaseException as error:
                    ask = procedure.throw(error)
                else:
                    ask = procedure.send(reply)
        except StopIteration as done:
            result: R = done.value
            return result
        finally:
            procedure.close()

    def _reply(self, ask: Ask) -> Any:
        deadline = time.monotonic() + self.settings.patience_seconds
        if isinstance(ask, Call):
            pool = self._pool_of(ask.tag)
            line = self._take(pool, deadline)
            try:
                reply = line.evaluate(ask, deadline)
            except BaseException as error:
                self._give_up(pool, line, error)
                raise
            pool.give_back(line)
            return reply
        if isinstance(ask, Survey):
            return self._surveyed(ask, deadline)
        return [self._inspected(ask, address) for address in ask.addresses]

    def _take(self, pool: Pool, deadline: float) -> Line:
        try:
            return pool.take(deadline)
        except BaseException as error:
            self._give_up(pool, None, error)
            raise

    def _give_up(self, pool: Pool, line: Line | None, error: BaseException) -> None:
        """Use this connection no more; nor the others if they are probably as bad, nor the routes that led there."""
        if line is not None:
            pool.discard(line)
        if translation.leads_elsewhere(error):
            pool.drop()
            self._routes = None
        elif translation.may_lead_elsewhere(error):
            self._routes = None

    def _pool_of(self, tag: str) -> Pool:
        routes = self._routes
        if routes is None:
            self._routes = routes = self._drive(discovered(self.settings, self._home, tuple(self._pools)))
        address = routes[tag]
        pool = self._pools.get(address)
        return self._pools.setdefault(address, Pool(self.settings, address, self._notices)) if pool is None else pool

    def _surveyed(self, ask: Survey, deadline: float) -> list[Any]:
        answered = []
        for pool, positions, commands in by_server(ask, self._pool_of):
            line = self._take(pool, deadline)
            try:
                replies = line.survey(commands, deadline)
            except BaseException as error:
                self._give_up(pool, line, error)
                raise
            pool.give_back(line)
            answered.append((positions, replies))
        return in_order(answered)

    def _inspected(self, ask: Inspect, address: Address) -> Any:
        seconds = ask.seconds or self.settings.patience_seconds
        deadline = time.monotonic() + seconds
        settings = evolve(self.settings, patience_seconds=seconds)
        line = Line(Contact(settings, address, self._notices, ask.of_sentinels), None)
        try:
            line.connect(deadline)
            return line.inspect(ask.commands, deadline)
        except (driver.RedisError, OSError, SessionGuardError) as error:
            return error
        finally:
            line.close()

    # Opening

    def identify(self, command: c.Identify) -> str:
        return self._run(command.verb, openings.identify(self._home))

    def create(self, command: c.Create) -> c.Opened:
        return self._run(command.verb, limiting.opened(self._home, command))

    def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        return self._run(command.verb, limiting.opened(self._home, command))

    def replace(self, command: c.Replace) -> c.Opened:
        return self._run(command.verb, limiting.opened(self._home, command))

    # Reading

    def load(self, command: c.Load) -> c.Loaded:
        return replies.to_loaded(command, self._ask(command.verb, openings.load(self._home, command)))

    def get(self, command: c.Get) -> SessionRecord | None:
        return replies.to_found(self._ask(command.verb, openings.get(self._home, command)))

    def page(self, command: c.Page) -> c.PageOfRecords:
        return self._run(command.verb, owning.listed(self._home, command))

    # Changing one session

    def save(self, command: c.Save) -> c.Changed:
        return replies.to_changed(self._ask(command.verb, openings.save(self._home, command)))

    def touch(self, command: c.Touch) -> c.Changed:
        return replies.to_changed(self._ask(command.verb, openings.touch(self._home, command)))

    def rotate(self, command: c.Rotate) -> c.Changed:
        return self._run(command.verb, owning.rotated(self._home, command))

    def end(self, command: c.End) -> c.Changed:
        return replies.to_changed(self._ask(command.verb, openings.end(self._home, command)))

    # Changing many

    def end_owner(self, command: c.EndOwner) -> c.Ended:
        return self._run(command.verb, owning.owner_ended(self._home, command))

    def sweep(self, command: c.Sweep) -> c.Ended:
        return self._run(command.verb, cleaning.swept(self._home, command))

    def purge(self, command: c.Purge) -> c.Purged:
        return self._run(command.verb, cleaning.purged(self._home, command))

    # Cleaning up

    def census(self, command: f.Census) -> f.Counted:
        return self._run(command.verb, fleet.counted(self._home, command))

    def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return self._run(command.verb, fleet.found(self._home, command))

    def take_turn(self, command: f.TakeTurn) -> Outcome:
        return self._run(command.verb, fleet.taken(self._home, command))

    def give_turn(self, command: f.GiveTurn) -> Outcome:
        return self._run(command.verb, fleet.given(self._home, command))

    # Locks

    def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return replies.to_lock_reply(self._ask(command.verb, openings.lock(self._home, command)))

    def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return replies.to_lock_reply(self._ask(command.verb, openings.lock(self._home, command)))

    def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return replies.to_lock_reply(self._ask(command.verb, openings.lock(self._home, command)))

    # Leases

    def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        return self._run(command.verb, leasing.leased(self._home, command))

    def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return self._run(command.verb, leasing.leased(self._home, command))

    def leased_until(self, command: le.FindLease) -> int | None:
        return self._run(command.verb, leasing.found(self._home, command))

    # Surroundings

    def examine(self) -> list[Finding]:
        """Examine the servers, their settings and the permissions; changes nothing."""
        return self._run("examine", examination.examined(self.settings, self._home))

    def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Check that this release knows the format of what is stored; there is nothing to migrate yet."""
        return self._run("migrate", examination.migrated(self._home, dry_run))

    def distrust(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        for pool in self.pools:
            pool.drop()

    def close(self) -> None:
        """Close all connections. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._closed = True
        if self._pid == os.getpid():
            self.distrust()
