"""The async Redis store: sends what the procedures ask over connections of the running event loop, nothing else."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

from attrs import define, evolve, field
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
from sessionguard.stores.redis.async_lines import AsyncLine
from sessionguard.stores.redis.async_pools import AsyncPool
from sessionguard.stores.redis.certificates import Encryption
from sessionguard.stores.redis.contact import Contact
from sessionguard.stores.redis.failures import Failure
from sessionguard.stores.redis.handshake import Notices
from sessionguard.stores.redis.keys import Keys
from sessionguard.stores.redis.routing import Routes, discovered
from sessionguard.stores.redis.settings import Settings, read_url
from sessionguard.stores.redis.surveying import by_server, in_order

R = TypeVar("R")

# Of parents: neither used nor closed here. Closing an encrypted connection would tell the server that it is over.
_inherited: Final[list[object]] = []


@define(eq=False)
class _Connected:
    """What one event loop has of the servers."""

    pools: dict[Address, AsyncPool] = field(factory=dict)
    routes: Routes | None = None

    def drop(self) -> None:
        """Close every connection: the idle ones now, the others as they come back."""
        for pool in self.pools.values():
            pool.drop()


class AsyncRedisStore:
    """An `AsyncStore` with all abilities on a Redis or Valkey server, behind sentinels, or on a cluster.

    Usable from any event loop, and again after a fork; each loop has connections of its own. What calls may raise is
    said at `RedisStore`. A call that is cancelled is done or not, never half; its connection is closed.
    """

    name = "redis"
    limits_sessions = True
    may_forget = True
    """As said at `RedisStore`."""

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
        settings = read_url(
            url,
            encryption=encryption,
            sentinel_username=sentinel_username,
            sentinel_password=sentinel_password,
            pool_size=pool_size,
            patience_seconds=patience_seconds,
            allow_eviction=allow_eviction,
        )
        self._prepare(settings, Keys(prefix))

    @classmethod
    def of(cls, settings: Settings, keys: Keys) -> Self:
        """Give a store with these settings."""
        store = cls.__new__(cls)
        store._prepare(settings, keys)
        return store

    def _prepare(self, settings: Settings, keys: Keys) -> None:
        self.settings = settings
        self.keys = keys
        self._closed = False
        self._notices = Notices()
        self._begin()
        after_fork(self, AsyncRedisStore._start_anew)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._home = openings.Home(self.keys)
        self._loops: dict[asyncio.AbstractEventLoop, _Connected] = {}

    def _start_anew(self) -> None:
        _inherited.append(list(self._loops.items()))
        self._begin()

    @property
    def _here(self) -> _Connected:
        loop = asyncio.get_running_loop()
        connected = self._loops.get(loop)
        if connected is None:
            self._forget_closed_loops()
            connected = self._loops[loop] = _Connected()
        return connected

    def _forget_closed_loops(self) -> None:
        """Close what loops have left that are closed: connections hold their loop, so none would ever go by itself."""
        for loop in list(self._loops):
            if loop.is_closed() and (connected := self._loops.pop(loop, None)) is not None:
                connected.drop()

    @property
    def pools(self) -> tuple[AsyncPool, ...]:
        """The pools of the running event loop, one per server that was met."""
        return tuple(self._here.pools.values())

    # Asking

    async def _run(self, verb: str, procedure: Procedure[R]) -> R:
        """Drive a procedure to its end."""
        result: R = await self._translated(verb, self._drive, procedure)
        return result

    def _ask(self, verb: str, call: Call) -> Awaitable[Any]:
        """Give the reply to what needs one call only."""
        return self._translated(verb, self._called, call)

    async def _translated(self, verb: str, do: Callable[[Any], Awaitable[Any]], what: object) -> Any:
        if self._closed:
            raise MisuseError("the redis store is closed; open a new one")
        if self._pid != os.getpid():
            self._start_anew()
        try:
            return await do(what)
        except IdentityMismatchError:
            # The driver of commands does so as well; to examine and to migrate, the store is called without it.
            await self.distrust()
            raise
        except SessionGuardError:
            raise
        except (driver.RedisError, OSError) as error:
            raise translation.translated(verb, error, self.keys.prefix) from error

    async def _drive(self, procedure: Procedure[R]) -> R:
        try:
            ask = next(procedure)
            while True:
                try:
                    reply = await self._reply(ask)
                except BaseException as error:
                    ask = procedure.throw(error)
                else:
                    ask = procedure.send(reply)
        except StopIteration as done:
            result: R = done.value
            return result
        finally:
            procedure.close()

    async def _reply(self, ask: Ask) -> Any:
        if isinstance(ask, Call):
            return await self._called(ask)
        if isinstance(ask, Survey):
            await self._know_routes()
            answered = []
            for pool, positions, commands in by_server(ask, self._known_pool_of):
                answered.append((positions, await self._asked(pool, commands)))
            return in_order(answered)
        return [await self._inspected(ask, address) for address in ask.addresses]

    async def _called(self, call: Call) -> Any:
        if self._here.routes is None:
            await self._know_routes()
        return await self._asked(self._known_pool_of(call.tag), call)

    async def _asked(self, pool: AsyncPool, what: Any) -> Any:
        # One limit for all of it: the wait for a connection, making one, and every byte of the reply.
        deadline = asyncio.get_running_loop().time() + self.settings.patience_seconds
        line = pool.ready() or await self._taken(pool, deadline)
        try:
            reply = await (line.evaluate(what, deadline) if isinstance(what, Call) else line.survey(what, deadline))
        except BaseException as error:
            pool.discard(line)
            self._give_up(pool, error)
            raise
        pool.give_back(line)
        return reply

    async def _taken(self, pool: AsyncPool, deadline: float) -> AsyncLine:
        try:
            async with asyncio.timeout_at(deadline):
                return await pool.take()
        except BaseException as error:
            if isinstance(error, TimeoutError) and (exhausted := pool.exhausted()) is not None:
                raise exhausted from error
            self._give_up(pool, error)
            if isinstance(error, TimeoutError):
                contact = Contact(self.settings, pool.address, self._notices)
                raise (await contact.explained_async(Failure(error, (error,))) or error) from error
            raise

    def _give_up(self, pool: AsyncPool, error: BaseException) -> None:
        """Use the other connections no more if they are probably as bad, nor the routes that led there."""
        if translation.leads_elsewhere(error):
            pool.drop()
            self._here.routes = None
        elif translation.may_lead_elsewhere(error):
            self._here.routes = None

    async def _know_routes(self) -> None:
        here = self._here
        if here.routes is None:
            here.routes = await self._drive(discovered(self.settings, self._home, tuple(here.pools)))

    def _known_pool_of(self, tag: str) -> AsyncPool:
        here = self._here
        assert here.routes is not None
        address = here.routes[tag]
        pool = here.pools.get(address)
        if pool is None:
            pool = here.pools[address] = AsyncPool(self.settings, address, self._notices)
        return pool

    async def _inspected(self, ask: Inspect, address: Address) -> Any:
        settings = evolve(self.settings, patience_seconds=ask.seconds or self.settings.patience_seconds)
        contact = Contact(settings, address, self._notices, ask.of_sentinels)
        line = AsyncLine(contact, None)
        try:
            async with asyncio.timeout(settings.patience_seconds):
                await line.connect()
                return await line.inspect(ask.commands)
        except TimeoutError as error:
            explained = await contact.explained_async(Failure(error, (error,))) or error
            explained.__cause__ = error
            return explained
        except (driver.RedisError, OSError, SessionGuardError) as error:
            return error
        finally:
            line.close()

    # Opening

    async def identify(self, command: c.Identify) -> str:
        return await self._run(command.verb, openings.identify(self._home))

    async def create(self, command: c.Create) -> c.Opened:
        return await self._run(command.verb, limiting.opened(self._home, command))

    async def get_or_create(self, command: c.GetOrCreate) -> c.Opened:
        return await self._run(command.verb, limiting.opened(self._home, command))

    async def replace(self, command: c.Replace) -> c.Opened:
        return await self._run(command.verb, limiting.opened(self._home, command))

    # Reading

    async def load(self, command: c.Load) -> c.Loaded:
        return replies.to_loaded(command, await self._ask(command.verb, openings.load(self._home, command)))

    async def get(self, command: c.Get) -> SessionRecord | None:
        return replies.to_found(await self._ask(command.verb, openings.get(self._home, command)))

    async def page(self, command: c.Page) -> c.PageOfRecords:
        return await self._run(command.verb, owning.listed(self._home, command))

    # Changing one session

    async def save(self, command: c.Save) -> c.Changed:
        return replies.to_changed(await self._ask(command.verb, openings.save(self._home, command)))

    async def touch(self, command: c.Touch) -> c.Changed:
        return replies.to_changed(await self._ask(command.verb, openings.touch(self._home, command)))

    async def rotate(self, command: c.Rotate) -> c.Changed:
        return await self._run(command.verb, owning.rotated(self._home, command))

    async def end(self, command: c.End) -> c.Changed:
        return replies.to_changed(await self._ask(command.verb, openings.end(self._home, command)))

    # Changing many

    async def end_owner(self, command: c.EndOwner) -> c.Ended:
        return await self._run(command.verb, owning.owner_ended(self._home, command))

    async def sweep(self, command: c.Sweep) -> c.Ended:
        return await self._run(command.verb, cleaning.swept(self._home, command))

    async def purge(self, command: c.Purge) -> c.Purged:
        return await self._run(command.verb, cleaning.purged(self._home, command))

    # Cleaning up

    async def census(self, command: f.Census) -> f.Counted:
        return await self._run(command.verb, fleet.counted(self._home, command))

    async def find_due(self, command: f.FindDue) -> tuple[SessionRecord, ...]:
        return await self._run(command.verb, fleet.found(self._home, command))

    async def take_turn(self, command: f.TakeTurn) -> Outcome:
        return await self._run(command.verb, fleet.taken(self._home, command))

    async def give_turn(self, command: f.GiveTurn) -> Outcome:
        return await self._run(command.verb, fleet.given(self._home, command))

    # Locks

    async def acquire_lock(self, command: c.AcquireLock) -> c.LockReply:
        return replies.to_lock_reply(await self._ask(command.verb, openings.lock(self._home, command)))

    async def renew_lock(self, command: c.RenewLock) -> c.LockReply:
        return replies.to_lock_reply(await self._ask(command.verb, openings.lock(self._home, command)))

    async def release_lock(self, command: c.ReleaseLock) -> c.LockReply:
        return replies.to_lock_reply(await self._ask(command.verb, openings.lock(self._home, command)))

    # Leases

    async def hold_lease(self, command: le.HoldLease) -> le.LeaseReply:
        return await self._run(command.verb, leasing.leased(self._home, command))

    async def release_lease(self, command: le.ReleaseLease) -> le.LeaseReply:
        return await self._run(command.verb, leasing.leased(self._home, command))

    async def leased_until(self, command: le.FindLease) -> int | None:
        return await self._run(command.verb, leasing.found(self._home, command))

    # Surroundings

    async def examine(self) -> list[Finding]:
        """Examine the servers, their settings and the permissions; changes nothing."""
        return await self._run("examine", examination.examined(self.settings, self._home))

    async def migrate(self, *, dry_run: bool = False) -> list[str]:
        """Check that this release knows the format of what is stored; there is nothing to migrate yet."""
        return await self._run("migrate", examination.migrated(self._home, dry_run))

    async def distrust(self) -> None:
        """Close every connection of the running event loop: the idle ones now, the others as they come back."""
        self._here.drop()

    async def close(self) -> None:
        """Close all connections. Closing twice is fine; any other call afterwards raises `MisuseError`."""
        self._closed = True
        if self._pid == os.getpid():
            here = asyncio.get_running_loop()
            for loop, connected in list(self._loops.items()):
                if loop is here or loop.is_closed():
                    connected.drop()
                else:
                    # Its connections are its own, in its thread.
                    loop.call_soon_threadsafe(connected.drop)
            # The event loop closes sockets in its next turn.
            await asyncio.sleep(0)
