"""The state machine: draws traces over all verbs, with hostile names and a clock of its own, against the model.

The clock is `at`; it moves by the steps that matter, to the tick. What two right stores may do differently is taken
out before comparing: the exact generations, the order of JSON fields, the order among equals.
"""

import asyncio
import itertools
import random
import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from attrs import evolve
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run, run_async
from sessionguard.core.lifecycle import Outcome
from sessionguard.core.limits import ON_LIMIT, ActiveLimit
from sessionguard.core.records import NewSession
from sessionguard.core.tokens import Mint
from sessionguard.testing.contracts.candidate import Candidate
from sessionguard.testing.contracts.comparing import FollowingModel, comparable, listed
from sessionguard.testing.contracts.stage import (
    ABSOLUTE,
    GRACE,
    IDLE,
    REMEMBERED,
    RETENTION,
    SECOND,
    START,
    TICK,
    TOUCH,
    Stage,
)
from sessionguard.testing.profile import Profile
from sessionguard.testing.strategies import data, external_ids, field_names, lifetimes, names, twins

_DEADLINES: Final = (GRACE, TOUCH, IDLE)
_LEAPS: Final = (TICK, SECOND, -SECOND, *_DEADLINES, *(d - TICK for d in _DEADLINES), ABSOLUTE, RETENTION)
_PICK: Final = st.integers(0, 30)
_LIMIT: Final = st.builds(ActiveLimit, st.integers(1, 3), st.sampled_from(ON_LIMIT))
_LAST_KNOWN: Final = 26
"""Picks beyond are of sessions that nobody knows."""
_REPEATABLE: Final = 5
_FAMILIES: Final = (
    ("ab", "AB", "a", "a*", "a_"),
    ("jose\u0301", "jos\u00e9", "JOS\u00c9", "jos", "jos*"),
    ("a\u030ab", "\u00e5b", "\u00c5B", "\u00e5", "\u00e5?"),
    ("x" * 256 + "e\u0301", "x" * 256 + "\u00e9", "x" * 256 + "\u00c9", "x" * 256, "x*"),
)
"""Owners that are one to a store that folds case, normalises, cuts, or takes a name for a prefix or a pattern."""
_OPENING: Final = c.Create | c.GetOrCreate | c.Replace
_examples = itertools.count()


class TraceStage(Stage):
    """A stage whose operation ids never come again in another trace: a store remembers them for longer than one."""

    def operation(self) -> str:
        """Give an operation id that was never used."""
        return secrets.token_hex(8)


class SessionMachine(RuleBasedStateMachine):
    """One trace: every command goes to the store and to the model, and their replies are compared."""

    def __init__(self, candidate: Candidate, mode: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner() if mode == "async" else None
        self.capabilities = candidate.capabilities
        self.store = candidate.asynchronous() if self.runner else candidate.blocking()
        self.model = FollowingModel()
        # The same ids in every trace, so that Hypothesis can play one again; the teardown makes them unknown.
        self.stage = TraceStage(self.ask_store(c.Identify()), mint=Mint(random.Random(0).randbytes))
        self.at = START
        self.tokens: list[tuple[NewSession, bytes]] = []
        self.recent: list[c.Command[Any]] = []
        self.latest = START
        self.releases = 0
        self.generations: dict[object, int] = {}
        self.scope = f"trace {next(_examples)}"

    def ask_store(self, command: c.Command[Any]) -> Any:
        """Ask the store alone; what it was given is changed afterwards, and belongs to nobody any more."""
        changes = dict(command.changes) if isinstance(command, c.Save) else {}
        handed = evolve(command, changes=changes) if isinstance(command, c.Save) else command
        try:
            if self.runner is not None:
                return self.runner.run(run_async(perform(handed), self.store))
            return run(perform(handed), self.store)
        finally:
            changes |= dict.fromkeys((*changes, "a"), '"changed after use"')

    def ask(self, command: c.Command[Any]) -> Any:
        """Ask both, compare, and give the store's reply."""
        reply = self.ask_store(command)
        self.model.follow(reply)
        expected = run(perform(command), self.model)
        assert comparable(reply) == comparable(expected), command
        if not (isinstance(command, c.Sweep | c.Purge) and found_nothing(reply)):
            self.recent = [*self.recent, command][-_REPEATABLE:]
        return reply

    def known(self, pick: int) -> tuple[NewSession, bytes]:
        """Give a session that was opened, or now and then one that nobody knows, and one of its tokens."""
        if pick > _LAST_KNOWN or not self.tokens:
            stranger = self.stage.new(self.names[0], scope=self.scope)
            return stranger, stranger.token_hash
        return self.tokens[pick % len(self.tokens)]

    @initialize(
        family=st.sampled_from(_FAMILIES),
        others=st.just(()) | twins() | st.tuples(names()),
        have_arrived=st.booleans(),
    )
    def choose_names(self, family: tuple[str, ...], others: tuple[str, ...], have_arrived: bool) -> None:
        self.names = list(dict.fromkeys((*family, *others)))
        for number in range(len(self.names) if have_arrived else 0):
            self.arrives(number, beside=False)
            self.arrives(number, beside=True)

    @rule(leap=st.sampled_from(_LEAPS))
    def time_passes(self, leap: timedelta) -> None:
        self.at += leap
        self.latest = max(self.latest, self.at)

    @rule(pick=_PICK, before=st.sampled_from((START, TICK)))
    def a_deadline_comes(self, pick: int, before: timedelta) -> None:
        """The very instant at which a session is over, or the last one at which it is not."""
        entry = self.model.entries.get(self.known(pick)[0].id)
        if entry is not None and entry.record.reason is None:
            since_start = timedelta(microseconds=entry.record.expires_us - self.stage.us(START))
            self.at = since_start - before
            self.latest = max(self.latest, self.at)

    # Opening

    @rule(
        verb=st.sampled_from((c.Create, c.GetOrCreate, c.Replace)),
        owner=_PICK,
        details=st.fixed_dictionaries({"external_id": external_ids(), "data": data(), "lifetime": lifetimes()}),
        elsewhere=st.booleans(),
        limit=st.none() | _LIMIT,
    )
    def opens(self, verb: Any, owner: int, details: dict[str, Any], elsewhere: bool, limit: ActiveLimit | None) -> None:
        scope = self.scope + (" b" if elsewhere else "")
        new = self.stage.new(self.names[owner % len(self.names)], scope=scope, **details)
        at_most = limit if self.capabilities.limits else None
        self.remember(new, self.ask(verb(new, self.stage.instant(self.at), self.stage.operation(), at_most=at_most)))

    @rule(owner=_PICK, beside=st.booleans())
    def arrives(self, owner: int, beside: bool) -> None:
        """A plain request for the session of an owner, or for one beside it; those of look-alikes meet in one scope."""
        new = self.stage.new(self.names[owner % len(self.names)], scope=self.scope)
        verb = c.Create if beside else c.GetOrCreate
        self.remember(new, self.ask(verb(new, self.stage.instant(self.at), self.stage.operation())))

    def remember(self, new: NewSession, opened: c.Opened) -> None:
        """Let a session that was opened be known to the steps that follow."""
        if opened.is_refused:
            return
        record = opened.record
        if record.token_hash == new.token_hash:
            self.tokens.insert(0, (new, new.token_hash))
            if record.exclusive:
                slot = (record.scope, record.owner, record.external_id)
                assert record.generation > self.generations.get(slot, 0), "a generation was used twice"
                self.generations[slot] = record.generation

    # Reading

    @rule(pick=_PICK, scoped=st.booleans(), extends=st.booleans())
    def loads(self, pick: int, scoped: bool, extends: bool) -> None:
        _, token_hash = self.known(pick)
        scope = self.scope if scoped else None
        self.ask(self.stage.load(token_hash, scope=scope, extends=extends, at=self.at))

    @rule(pick=_PICK)
    def gets(self, pick: int) -> None:
        self.ask(self.stage.get(self.known(pick)[0], at=self.at))

    # As declared, for what off-loads a store has the verbs of every ability.
    @precondition(lambda self: self.capabilities.listing)
    @rule(
        status=st.sampled_from(("active", "ended", None)),
        owner=st.none() | _PICK,
        scoped=st.booleans(),
        limit=st.integers(1, 5),
    )
    def lists(self, status: c.Status | None, owner: int | None, scoped: bool, limit: int) -> None:
        question = partial(
            self.stage.page,
            owner=None if owner is None else self.names[owner % len(self.names)],
            scope=self.scope if scoped else None,
            status=status,
            limit=limit,
            at=self.at,
        )
        expected = listed(question, lambda command: run(perform(command), self.model))
        assert listed(question, self.ask_store) == expected

    # Changing

    @rule(
        pick=_PICK,
        changes=data(),
        remove=st.lists(field_names(), max_size=2),
        version=st.none() | st.integers(1, 4),
        limit_bytes=st.sampled_from((40, 100_000)),
        number=st.none() | st.integers(0, 3),
    )
    def saves(
        self,
        pick: int,
        changes: dict[str, Any],
        remove: list[str],
        version: int | None,
        limit_bytes: int,
        number: int | None,
    ) -> None:
        gone = tuple(name for name in remove if name not in changes)
        session, _ = self.known(pick)
        command = self.stage.save(
            session, changes, remove=gone, expected_version=version, limit_bytes=limit_bytes, at=self.at
        )
        if number is not None and self.capabilities.locks:
            command = evolve(command, fence=c.Fence("door", number))
        self.ask(command)
        # Read at once, while what the store was given has been changed by its caller.
        self.ask(self.stage.get(session, at=self.at))

    @rule(pick=_PICK)
    def touches(self, pick: int) -> None:
        self.ask(self.stage.touch(self.known(pick)[0], at=self.at))

    @rule(pick=_PICK, behind=st.sampled_from((TICK, SECOND, GRACE)))
    def touches_late(self, pick: int, behind: timedelta) -> None:
        """A host whose clock is behind touches, too."""
        self.ask(self.stage.touch(self.known(pick)[0], at=self.at - behind))

    @rule(pick=_PICK, grace=st.sampled_from((START, GRACE)), owner=st.none() | _PICK, limit=st.none() | _LIMIT)
    def rotates(self, pick: int, grace: timedelta, owner: int | None, limit: ActiveLimit | None) -> None:
        session, token_hash = self.known(pick)
        receives = None if owner is None else self.names[owner % len(self.names)]
        at_most = limit if self.capabilities.limits else None
        known = evolve(session, token_hash=token_hash)
        command = self.stage.rotate(known, grace=grace, owner=receives, at=self.at, at_most=at_most)
        if self.ask(command).outcome is Outcome.DONE:
            self.tokens.insert(0, (session, command.token_hash))

    @rule(pick=_PICK, reason=st.sampled_from(("revoked", "escalated")))
    def ends(self, pick: int, reason: str) -> None:
        self.ask(self.stage.end(self.known(pick)[0], reason, at=self.at))

    @rule(owner=_PICK, scoped=st.booleans(), keep=st.none() | _PICK)
    def ends_an_owner(self, owner: int, scoped: bool, keep: int | None) -> None:
        spared = None if keep is None else self.known(keep)[0]
        name = self.names[owner % len(self.names)]
        self.ask(self.stage.end_owner(name, scope=self.scope if scoped else None, keep=spared, at=self.at))

    @rule(limit=st.integers(1, 4))
    def sweeps(self, limit: int) -> None:
        self.ask(self.stage.sweep(limit, at=self.at))

    @rule(older_than=st.sampled_from((None, START, IDLE)))
    def purges(self, older_than: timedelta | None) -> None:
        # Unbounded: which go first is not promised.
        self.ask(self.stage.purge(older_than, 100_000, at=self.at))

    @precondition(lambda self: self.capabilities.locks)
    @rule(verb=st.sampled_from(("acquire", "renew", "release")), pick=_PICK, holder=st.sampled_from(("one", "two")))
    def locks(self, verb: str, pick: int, holder: str) -> None:
        # A holder is one claim: who has released a lock never takes it again.
        reply = self.ask(getattr(self.stage, verb)(self.known(pick)[0], f"{holder} {self.releases}", at=self.at))
        if verb == "release" and reply.outcome is Outcome.DONE:
            self.releases += 1

    @precondition(lambda self: self.capabilities.leases)
    @rule(verb=st.sampled_from(("hold", "let_go")), pick=_PICK, holder=st.integers(0, 2))
    def leases(self, verb: str, pick: int, holder: int) -> None:
        session = self.known(pick)[0]
        reply = self.ask(getattr(self.stage, verb)(session, f"{self.releases:08x}{holder:08x}", at=self.at))
        if verb == "let_go" and reply.outcome is Outcome.DONE:
            self.releases += 1
        self.ask(self.stage.leased(session, at=self.at))

    @precondition(lambda self: self.recent)
    @rule(pick=st.integers(0, _REPEATABLE - 1))
    def repeats(self, pick: int) -> None:
        """A command comes again after its reply was lost."""
        command = self.recent[pick % len(self.recent)]
        if self.is_over(command):
            return
        reply = self.ask_store(command)
        expected = run(perform(command), self.model)
        assert comparable(reply) == comparable(expected), f"repeated: {command}"

    def is_over(self, command: Any) -> bool:
        """Tell whether the command is past being repeated, so that two right stores may answer differently."""
        if isinstance(command, c.EndOwner | c.Sweep | c.Purge):
            assert command.at is not None
            return self.stage.instant(self.latest) - command.at >= REMEMBERED
        entry = self.model.entries.get(command.new.id) if isinstance(command, _OPENING) else None
        if entry is None:
            return False
        # Who gave it away knew its answer; and a slot that has been left may give its next session.
        left = isinstance(command, c.GetOrCreate) and (entry.record.reason is not None or not entry.record.exclusive)
        return left or entry.record.owner != command.new.owner

    def teardown(self) -> None:
        """Leave the place empty for the next trace."""
        try:
            # From the latest instant: `at` may have gone back to a deadline long before it.
            end = self.latest + 2 * ABSOLUTE
            for verb in (self.stage.sweep, partial(self.stage.purge, START)):
                while self.ask_store(verb(at=end)).has_more:
                    pass
        finally:
            if self.runner is None:
                self.store.close()
            else:
                self.runner.run(self.store.close())
                self.runner.close()


def found_nothing(reply: Any) -> bool:
    """Tell whether a sweep or a purge did nothing, so that a store need not know its repetition."""
    return not (reply.records if isinstance(reply, c.Ended) else reply.count)


def compare(mode: str, candidate: Candidate, profile: Profile) -> None:
    """Draw traces as `profile` says; raises with the shortest one found if a reply differs from the model's."""
    make: Callable[[], SessionMachine] = partial(SessionMachine, candidate, mode)
    run_state_machine_as_test(
        make,  # type: ignore[arg-type]  # a factory is as welcome as a class, says its documentation
        settings=settings(
            max_examples=profile.examples,
            stateful_step_count=profile.steps,
            # Every push proves the same; the deep run looks further each time.
            derandomize=profile.name == "ci",
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.normal,
        ),
    )
