"""Where a store under test can be interrupted: at its points, its io, its lines, or only between its calls."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from attrs import evolve, frozen

from sessionguard.core import points
from sessionguard.core.commands import Command
from sessionguard.core.driving import run, run_async
from sessionguard.errors import InvalidArgumentError
from sessionguard.testing.contracts.asking import a_little_of_all
from sessionguard.testing.contracts.locating import lines_of, modules_of
from sessionguard.testing.schedule import Patience
from sessionguard.testing.schedule.accesses import OPERATIONS
from sessionguard.testing.schedule.io.hearing import hearing, seen

Kind = Literal["declared", "io", "lines", "ops"]

_LINES: Final = "lines:"
_REMEDY: Final = '"declared", "io", "ops", or "lines:" and the modules whose lines are points, with commas between them'

_BETWEEN: Final = "looked between calls only, so a race within a call stays unseen"
_POINTS_REMEDY: Final = (
    "call sessionguard.core.points.point before each access to what is shared, or name the modules that do the work: "
    'yields="lines:MODULE,..."'
)
_AREMEDY: Final = "await sessionguard.core.points.apoint before each access to what is shared"

_MOST_LINES: Final = 4_000
"""Of four calls. With more there is no time for many orders of them."""

# A store that declares its points waits elsewhere only for its disk or its server, which is no race of its callers.
_PATIENT: Final = Patience(point_seconds=20.0, hang_seconds=20.0)


@frozen
class Yields:
    """Where the callers of a store under test are stopped, so that others come between."""

    kind: Kind
    modules: tuple[str, ...] = ()
    is_found: bool = False
    """Whether nobody asked for its io or its lines, or named its modules: they are those of the store."""
    remark: str = ""
    """What a search does not see, and what to do about it; empty if it looks within the calls."""

    @classmethod
    def parse(cls, text: str) -> "Yields":
        """Read what a contract says about its store.

        Raises:
            InvalidArgumentError: it is none of the words there are.
        """
        if text in ("declared", "io", "ops"):
            return cls(text)  # type: ignore[arg-type]
        modules = tuple(name.strip() for name in text.removeprefix(_LINES).split(",") if name.strip())
        if text.startswith(_LINES) and modules:
            return cls("lines", modules)
        raise InvalidArgumentError("yields", text, _REMEDY)

    @property
    def patience(self) -> Patience:
        """How long a caller may be on its way to its next point before it is passed over."""
        # Lines, and io, stand also where a lock is held that nobody sees.
        return Patience() if self.kind in ("lines", "io") else _PATIENT

    def around(self, store: Any) -> Any:
        """Give a blocking store that stops at least once a call."""
        return _Announced(store) if self.kind == "ops" else store

    def around_async(self, store: Any) -> Any:
        """Give an async one that does."""
        return _AnnouncedAsync(store) if self.kind == "ops" else store


def yields_of(make_store: Callable[[], Any], said: str | None) -> Yields:
    """Give where a blocking store yields: as was said, else at its points, its io, its lines, else between calls."""
    yields = None if said is None else Yields.parse(said)
    if yields is not None and yields.kind in ("lines", "io"):
        return yields
    if yields is not None and yields.kind == "ops":
        return between_calls('that is what yields="ops" says')
    store = make_store()
    try:
        if declares_points(store):
            return Yields("declared")
        if yields is not None:
            return between_calls(f"{type(store).__name__} calls no point")
        if _reaches_out(make_store):
            return Yields("io", is_found=True)
        return _at_lines(store)
    finally:
        store.close()


def _reaches_out(make_store: Callable[[], Any]) -> bool:
    """Tell whether a blocking store can be stopped, within a call, where it reaches for what is shared."""
    with seen():
        store = make_store()
        try:
            with hearing() as heard:
                run(a_little_of_all("nobody in particular"), store)
        finally:
            store.close()
    return bool(heard.blocking)


def _at_lines(store: Any) -> Yields:
    modules = modules_of(store)
    lines = lines_of(store, modules)
    if 0 < lines <= _MOST_LINES:
        return Yields("lines", modules, is_found=True)
    why = "its calls have too many lines" if lines else "it is not written in Python that can be stopped at its lines"
    return between_calls(f"{type(store).__name__} calls no point, and {why}")


def yields_of_tasks(make_store: Callable[[], Any]) -> Yields:
    """Give where a blocking store yields to tasks."""
    store = make_store()
    try:
        if declares_points(store):
            return Yields("declared")
        why = f"{type(store).__name__} calls no point, and only a thread can be stopped at a line"
        return evolve(between_calls(why), kind="declared")
    finally:
        store.close()


def yields_of_async(make_store: Callable[[], Any]) -> Yields:
    """Give where an async store yields."""
    if declares_points_async(make_store):
        return Yields("declared")
    with seen(), hearing() as heard:
        asyncio.run(_ask_a_little(make_store))
    if heard.awaited:
        return Yields("io", is_found=True)
    return Yields("ops", remark=f"{_BETWEEN}: the async store awaits no point; {_AREMEDY}")


def between_calls(why: str) -> Yields:
    """Give what is left where a store cannot be stopped within its calls."""
    return Yields("ops", remark=f"{_BETWEEN}: {why}; {_POINTS_REMEDY}")


class _Announced:
    """Reaches a point before every call, in the place of a store that has none."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def ask(*arguments: Any) -> Any:
            if arguments and isinstance(arguments[0], Command):
                points.reach(name, self._store.name, arguments[0])
            return found(*arguments)

        return ask


class _AnnouncedAsync:
    """The same for an async store."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        async def ask(*arguments: Any) -> Any:
            if arguments and isinstance(arguments[0], Command):
                await points.areach(name, self._store.name, arguments[0])
            return await found(*arguments)

        return ask


class Called:
    """A recorded async store of which every call begins when the scheduler lets it begin.

    Blocking ones need no such thing: there the history itself can stop its thread.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        async def ask(*arguments: Any) -> Any:
            await points.apoint(name, OPERATIONS, "call")  # type: ignore[arg-type]
            return await found(*arguments)

        return ask


def declares_points(store: Any) -> bool:
    """Tell whether a blocking store comes to any point of its own."""
    with _listening() as heard:
        run(a_little_of_all("nobody in particular"), store)
    return bool(heard)


def declares_points_async(make_store: Callable[[], Any]) -> bool:
    """Tell the same of an async store."""
    with _listening() as heard:
        asyncio.run(_ask_a_little(make_store))
    return bool(heard)


async def _ask_a_little(make_store: Callable[[], Any]) -> None:
    store = make_store()
    try:
        await run_async(a_little_of_all("nobody in particular"), store)
    finally:
        await store.close()


@contextmanager
def _listening() -> Iterator[list[str]]:
    heard: list[str] = []

    async def hear(label: str, resource: object, mode: str) -> None:
        heard.append(label)

    with points.installed(lambda label, resource, mode: heard.append(label), hear):
        yield heard
