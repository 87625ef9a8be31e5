"""The two drivers: they run one and the same flow on a blocking or on an async store.

A flow is a generator that yields commands and is sent their replies. What goes wrong, cancellation too, is thrown into
the flow where it waits, and the flow is closed in every case. A reply that is not for what was asked makes the
store drop its connections before anything else can use them. A command that the store could not answer for the moment
is asked again, as `sessionguard.core.repeating` decides.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from sessionguard.core.commands import Command, Pause
from sessionguard.core.file_commands import FileCommand
from sessionguard.core.repeating import Patience, Repetitions
from sessionguard.errors import IdentityMismatchError, SessionGuardError, StoreUnavailableError

R = TypeVar("R")

Flow = Generator[Command[Any], Any, R]


def perform(command: Command[R]) -> Flow[R]:
    """Ask `command` and give its reply, with its type."""
    reply: R = yield command
    return reply


def run(
    flow: Flow[R],
    store: Any,
    files: Any = None,
    pause: Callable[[float], object] | None = None,
    patience: Patience | None = None,
) -> R:
    """Run `flow` to its end on a blocking store, blocking workspaces and a blocking way to let seconds pass.

    With `patience`, which needs `pause`, commands are repeated while the store is unavailable.
    """
    try:
        command = next(flow)
        while True:
            try:
                if isinstance(command, FileCommand):
                    reply = command.apply(files)
                elif isinstance(command, Pause):
                    reply = pause and pause(command.seconds)
                else:
                    if patience is None or pause is None:
                        reply = command.apply(store)
                    else:
                        reply = _patiently(command, store, pause, patience)
                    command.verify(reply, store.name)
            except BaseException as error:
                command = flow.throw(error)
            else:
                command = flow.send(reply)
    except StopIteration as done:
        result: R = done.value
        return result
    except IdentityMismatchError:
        store.distrust()
        raise
    finally:
        flow.close()


def _patiently(command: Command[Any], store: Any, pause: Callable[[float], object], patience: Patience) -> Any:
    began = patience.monotonic()
    error: SessionGuardError
    try:
        return command.apply(store)
    except StoreUnavailableError as first:
        error, repetitions = first, Repetitions(patience, began, command, first)
    try:
        while True:
            pause(repetitions.pause_after(error))
            try:
                return command.apply(store)
            except SessionGuardError as again:
                error = again
    finally:
        del error, repetitions  # As in `pause_after`.


async def run_async(
    flow: Flow[R],
    store: Any,
    files: Any = None,
    pause: Callable[[float], Awaitable[object]] | None = None,
    patience: Patience | None = None,
) -> R:
    """Run `flow` to its end on an async store, async workspaces and an async way to let seconds pass.

    With `patience`, which needs `pause`, commands are repeated while the store is unavailable.
    """
    try:
        command = next(flow)
        while True:
            try:
                if isinstance(command, FileCommand):
                    reply = await command.apply(files)
                elif isinstance(command, Pause):
                    reply = pause and await pause(command.seconds)
                else:
                    if patience is None or pause is None:
                        reply = await command.apply(store)
                    else:
                        reply = await _patiently_async(command, store, pause, patience)
                    command.verify(reply, store.name)
            except BaseException as error:
                command = flow.throw(error)
            else:
                command = flow.send(reply)
    except StopIteration as done:
        result: R = done.value
        return result
    except IdentityMismatchError:
        await store.distrust()
        raise
    finally:
        flow.close()


async def _patiently_async(
    command: Command[Any], store: Any, pause: Callable[[float], Awaitable[object]], patience: Patience
) -> Any:
    began = patience.monotonic()
    error: SessionGuardError
    try:
        return await command.apply(store)
    except StoreUnavailableError as first:
        error, repetitions = first, Repetitions(patience, began, command, first)
    try:
        while True:
            await pause(repetitions.pause_after(error))
            try:
                return await command.apply(store)
            except SessionGuardError as again:
                error = again
    finally:
        del error, repetitions  # As in `pause_after`.
