"""Stores without points: right ones and wrong ones, in Python that can be stopped at its lines and in what cannot."""

import pickle
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio

from sessionguard.testing.model import ModelStore
from sessionguard.testing.mutants.shelf import ShelfStore


class NoLock:
    """Stands where a lock should be."""

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass


class Unlocked(ModelStore):
    """The model, of which every call is many steps that nobody guards."""

    def __init__(self) -> None:
        super().__init__()
        self.lock: Any = NoLock()


class Facade:
    """Hands every call on to what it holds."""

    def __init__(self, rows: ModelStore) -> None:
        self.rows = rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rows, name)


class Forgetful(ModelStore):
    """Takes another way the more often it was made, as what fills a cache of its module does."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1

    def get_or_create(self, command: Any) -> Any:
        """Do a little more each time."""
        for _ in range(self.made):
            pass
        return super().get_or_create(command)


class Wordy(ModelStore):
    """Has so many lines in a call that no schedule of them ends."""

    most = 20_000

    def get_or_create(self, command: Any) -> Any:
        """Count for long."""
        for _ in range(self.most):
            pass
        return super().get_or_create(command)


class WordyLater(Wordy):
    """Has them only once there are a few of it."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.most = 0 if self.made < 3 else 7_000


class AsyncModel:
    """The model for coroutines, in which nothing is ever awaited."""

    def __init__(self, place: ModelStore) -> None:
        self._place = place

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._place, name)

        async def ask(command: Any) -> Any:
            return found(command)

        return ask if callable(found) else found

    async def close(self) -> None:
        """Leave the place as it is."""


class CarelessShelf(ShelfStore):
    """Reads and writes its file in two statements, with nothing that keeps others away between them."""

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold the lock of this object only."""
        with ModelStore.step(self):
            self._take()
            yield
            self._put()


class CarelessInRedis:
    """The model for coroutines, in one key of Redis that is read and then written."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key

    def __getattr__(self, name: str) -> Any:
        if name in ("name", "deployment_id"):
            return getattr(ModelStore(), name)

        async def ask(command: Any) -> Any:
            model = ModelStore()
            model.deployment_id = self._key
            # One a call: a schedule that is made shorter closes no store.
            async with redis.asyncio.Redis.from_url(self._url) as client:
                content: Any = await client.get(self._key)
                if content is not None:
                    model.entries, model.generations, model.holdings, model.answers = pickle.loads(content)
                answer = getattr(model, name)(command)
                state = model.entries, model.generations, model.holdings, model.answers
                await client.set(self._key, pickle.dumps(state))
            return answer

        return ask

    async def close(self) -> None:
        """Leave the place as it is."""


def opaque(hidden: ModelStore) -> Any:
    """Give a store like one that is written in C: its class has no file."""
    module = types.ModuleType("opaque")
    exec(
        "class Opaque:\n    def __init__(self, ask): self.__class__.__getattr__ = lambda self, name: ask(name)",
        vars(module),
    )
    return vars(module)["Opaque"](lambda name: getattr(hidden, name))
