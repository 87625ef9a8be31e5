"""Every call of a guard as a script that both guards can play: what a script yields is called, or awaited.

A script sets the scene, yields `START`, makes its calls, and ends. `n` is how many calls it makes.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Any, Final

START: Final = object()
DATA: Final = {"name": "Ana", "step": 3, "items": ["a", "b", "c"], "total": 12.5, "note": "as it comes"}

Script = Generator[Any, Any, None]
MakeScript = Callable[[Any, int], Script]


def load(guard: Any, n: int) -> Script:
    """Load an active session by its token; no touch is due."""
    session = yield guard.create("ana", data=DATA)
    yield START
    for _ in range(n):
        yield guard.load(session.token)


def load_and_touch(guard: Any, n: int) -> Script:
    """Load sessions that were not seen for long, so that each load writes down that they were."""
    sessions = []
    for _ in range(n):
        sessions.append((yield guard.create("ana", scope="touched", data=DATA)))
    yield START
    for session in sessions:
        yield guard.load(session.token)


def load_unknown(guard: Any, n: int) -> Script:
    """Load by a token that leads to nothing."""
    session = yield guard.create("ana", data=DATA)
    token = session.token[:-8] + "A" * 8
    yield START
    for _ in range(n):
        yield guard.load(token)


def get(guard: Any, n: int) -> Script:
    """Get a session by its id."""
    session = yield guard.create("ana", data=DATA)
    yield START
    for _ in range(n):
        yield guard.get(session.id)


def get_or_create_hit(guard: Any, n: int) -> Script:
    """Open a slot that has its session."""
    yield guard.get_or_create("bo", data=DATA)
    yield START
    for _ in range(n):
        yield guard.get_or_create("bo")


def get_or_create_miss(guard: Any, n: int) -> Script:
    """Open slots that have none."""
    owners = fresh_owners(n)
    yield START
    for owner in owners:
        yield guard.get_or_create(owner, data=DATA)


def create(guard: Any, n: int) -> Script:
    """Open a session that no slot knows."""
    yield START
    for _ in range(n):
        yield guard.create("ana", data=DATA)


def replace(guard: Any, n: int) -> Script:
    """Open a session in the slot of a former one."""
    yield guard.get_or_create("cy", data=DATA)
    yield START
    for _ in range(n):
        yield guard.replace("cy", data=DATA)


def save_one_field(guard: Any, n: int) -> Script:
    """Save one field, with a new value each time."""
    session = yield guard.create("ana", data=DATA)
    yield START
    for number in range(n):
        yield guard.save(session, {"step": number})


def save_expected_version(guard: Any, n: int) -> Script:
    """Save one field if no one else has saved."""
    session = yield guard.create("ana", data=DATA)
    yield START
    for number in range(n):
        session = yield guard.save(session, {"step": number}, expected_version=session.version)


def touch(guard: Any, n: int) -> Script:
    """Extend a session."""
    session = yield guard.create("ana", data=DATA)
    yield START
    for _ in range(n):
        yield guard.touch(session)


def rotate(guard: Any, n: int) -> Script:
    """Give a session a new token."""
    session = yield guard.create("ana", data=DATA)
    yield START
    for _ in range(n):
        session = yield guard.rotate(session)


def end(guard: Any, n: int) -> Script:
    """End sessions."""
    sessions = []
    for _ in range(n):
        sessions.append((yield guard.create("ana", data=DATA)))
    yield START
    for session in sessions:
        yield guard.end(session)


def hold(guard: Any, n: int) -> Script:
    """Hold a session and let it go: two questions to the store."""
    session = yield guard.create("ana", data=DATA)
    yield START
    for _ in range(n):
        held = yield guard.hold(session).acquire()
        yield held.release()


def sweep_100(guard: Any, n: int) -> Script:
    """End a hundred sessions that have expired."""
    for _ in range(100 * n):
        yield guard.create("ana", scope="short", data=DATA)
    # The only wait: the shortest timeout is the resolution of the clock.
    yield START
    for _ in range(n):
        # All that is due at once is no accident here.
        report = yield guard.sweep(100, force=True)
        assert report.ended == 100


def fresh_owners(n: int) -> list[str]:
    """Give owners that nobody has named before."""
    first = time.perf_counter_ns()
    return [f"owner {first + number}" for number in range(n)]


# The two players


def play(make_script: MakeScript, guard: Any, n: int) -> float:
    """Play a script on a blocking guard and give how long its calls took."""
    script = make_script(guard, n)
    value = next(script)
    while value is not START:
        value = script.send(value)
    began = time.perf_counter()
    try:
        value = next(script)
        while True:
            value = script.send(value)
    except StopIteration:
        return time.perf_counter() - began


def play_async(loop: asyncio.AbstractEventLoop, make_script: MakeScript, guard: Any, n: int) -> float:
    """Play a script on an async guard and give how long its calls took."""
    return loop.run_until_complete(_played(make_script(guard, n)))


async def _played(script: Script) -> float:
    value = next(script)
    while value is not START:
        value = script.send(await value)
    began = time.perf_counter()
    try:
        value = next(script)
        while True:
            value = script.send(await value)
    except StopIteration:
        return time.perf_counter() - began
