"""Stores that are written down: every command, with what came of it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.core import commands as c
from sessionguard.core.driving import perform, run
from sessionguard.core.repeating import Patience
from sessionguard.errors import MisuseError, StoreDataError, StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.contract import AsyncStore, ListingStore, LockingStore, Store
from sessionguard.stores.memory import MemoryStore
from sessionguard.stores.offload import OffloadedStore
from sessionguard.testing import Profile
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.history import (
    Actor,
    History,
    SessionModel,
    check,
    recorded,
    recorded_async,
    require_legal,
)
from sessionguard.testing.history.sessions.objections import records_in
from sessionguard.testing.model import ModelStore
from tests.testing.history.simulated import DEPLOYMENT

COMMAND = Stage(DEPLOYMENT).get_or_create("ana")


class Raising(ModelStore):
    """A store that raises what it is given, before or after it has done what was asked."""

    def __init__(self, fate: Callable[[], BaseException | None], *, late: bool = False) -> None:
        super().__init__()
        self._fate, self._late = fate, late

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("get_or_create", "save", "touch", "rotate", "end", "replace", "end_owner", "sweep", "create"):
            return found

        def ask(command: Any) -> Any:
            error = self._fate()
            reply = None if error is not None and not self._late else found(command)
            if error is not None:
                raise error
            return reply

        return ask


@pytest.mark.parametrize(
    "error, outcome",
    [
        (StoreTimeoutError("model", "get_or_create", "busy"), "fail"),
        (MisuseError("closed"), "fail"),
        (StoreUnavailableError("model", "get_or_create", "gone"), "info"),
        (StoreDataError("model", "get_or_create", "damaged"), "info"),
        (KeyboardInterrupt(), "info"),
    ],
)
def test_what_is_raised_tells_what_is_known(error: BaseException, outcome: str) -> None:
    """Only what promises that nothing was done counts as failed; and it is raised as it was."""
    history = History()
    store = recorded(Raising(lambda: error), history, "a")
    with pytest.raises(type(error)) as raised:
        COMMAND.apply(store)
    assert raised.value is error
    [operation] = history.operations
    assert (operation.client, operation.name, operation.outcome) == ("a", "get_or_create", outcome)
    assert operation.args == {"command": COMMAND}


def test_a_reply_is_given_as_it_is() -> None:
    """The reply, and the history's copy of it, are the store's; other members are the store's own."""
    history, model = History(), ModelStore()
    store = recorded(model, history, "a")
    reply = store.get_or_create(COMMAND)
    assert [operation.result for operation in history.operations] == [reply]
    assert store.name == model.name
    assert store.identify(c.Identify()) == model.deployment_id
    assert isinstance(store, Store)
    assert isinstance(store, ListingStore)
    assert isinstance(store, LockingStore)
    assert len(history) == 1


def test_no_way_leads_past_the_record() -> None:
    """What would answer commands unseen is not offered."""
    store: Any = recorded(MemoryStore(allow_per_process=True), History(), "a")
    assert not hasattr(store, "answer_inline")
    assert not hasattr(store, "as_async")
    store.close()


def test_a_guard_works_on_a_recorded_store() -> None:
    """All that an application does through its guard is in the history, and legal."""
    history = History()
    store = MemoryStore(allow_per_process=True)
    guard = SessionGuard(recorded(store, history, "web"))
    session = guard.get_or_create("ana", data={"a": 1})
    guard.modify(session, lambda data: {**data, "b": data["a"] + 1})
    guard.end(session)
    assert [operation.name for operation in history.operations] == ["get_or_create", "save", "end"]
    require_legal(history.linearizable(SessionModel), strict=True)
    guard.close()


def test_tasks_are_recorded_and_cancelled_ones_are_unknown() -> None:
    """An async store is written down the same way; cancelling makes the outcome unknown."""
    history = History()

    class Waiting(OffloadedStore):
        async def get(self, command: c.Get) -> Any:
            await asyncio.Event().wait()

    async def play() -> None:
        store: AsyncStore = Waiting(MemoryStore(allow_per_process=True))
        mine = recorded_async(store, history, "task")
        opened = await mine.get_or_create(COMMAND)
        task = asyncio.ensure_future(mine.get(c.Get(opened.record.id, None)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert isinstance(mine, AsyncStore)
        await mine.close()

    asyncio.run(play())
    assert [(operation.name, operation.outcome) for operation in history.operations] == [
        ("get_or_create", "ok"),
        ("get", "info"),
    ]


@pytest.mark.parametrize("late", [False, True])
def test_what_the_drivers_repeat_is_legal(sg_profile: Profile, late: bool) -> None:
    """Commands whose replies are lost, before or after they took effect, are repeated; nothing happens twice."""
    for seed in range(sg_profile.examples):
        draw = random.Random(seed)
        lost = StoreUnavailableError("model", "any", "the reply was lost", transient=True)
        store = Raising(lambda draw=draw, lost=lost: lost if draw.random() < 0.3 else None, late=late)  # type: ignore[misc]
        history = History()
        mine = recorded(store, history, "a")
        actor = Actor(Stage(DEPLOYMENT), seed)
        patience = Patience(5.0, lambda: 0.0, lambda count: bytes(count), lambda command, error: None)
        for command in actor.commands(40):
            reply = run(perform(command), mine, pause=lambda seconds: None, patience=patience)
            actor.show(command, records_in(reply), reply)
        assert {operation.outcome for operation in history.operations} == {"ok", "info"}
        verdict = check(history, SessionModel)
        assert verdict.is_legal, verdict.render()
