"""Writers that die at every single step: all or nothing is seen at once, and stays, and the files agree."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from sessionguard.core import commands as c
from sessionguard.stores.file import FileStore, journal
from sessionguard.testing.contracts.stage import IDLE, RETENTION, SECOND, START, Stage
from tests.stores.file.inspecting import disorder, sight

pytestmark = pytest.mark.processes

STEPS: Final = ("write", "pwrite", "fsync", "fdatasync", "rename", "symlink", "unlink", "mkdir", "open")
"""What of `os` a writer does to the disk, one after another."""

AT: Final = IDLE + SECOND


def prepared(path: Path) -> tuple[Stage, dict[str, c.Command[Any]]]:
    """Make a store with sessions in all states, and give the operations to be interrupted."""
    store = FileStore(path)
    stage = Stage(store.identify(c.Identify()))
    expired = store.get_or_create(stage.get_or_create("ana", data={"n": 1})).record
    store.acquire_lock(stage.acquire(expired, "one"))
    store.end(stage.end(store.get_or_create(stage.get_or_create("ana", scope="old")).record))
    active = store.get_or_create(stage.get_or_create("ana", scope="shop", data={"n": 2}, at=AT)).record
    store.create(stage.create("ana", at=AT))
    visitor = store.create(stage.create("visitor", at=AT)).record
    store.close()
    return stage, {
        "create": stage.create("ana", at=AT),
        "get_or_create over an expired one": stage.get_or_create("ana", at=AT),
        "replace": stage.replace("ana", scope="shop", at=AT),
        "load that touches": stage.load(active, at=AT + IDLE - SECOND),
        "save": stage.save(active, {"n": 3}, at=AT),
        "touch": stage.touch(active, at=AT + SECOND),
        "rotate": stage.rotate(active, at=AT),
        "rotate to an owner elsewhere": stage.rotate(visitor, owner="ana", at=AT),
        "rotate out of a slot": stage.rotate(active, owner="bea", at=AT),
        "end": stage.end(active, at=AT),
        "end_owner": stage.end_owner("ana", at=AT),
        "sweep": stage.sweep(at=AT),
        "purge": stage.purge(START, at=RETENTION),
        "acquire_lock": stage.acquire(active, "two", at=AT),
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stage, dict[str, c.Command[Any]]]:
    """The folder from which every try begins."""
    path = tmp_path_factory.mktemp("template") / "sessions"
    return path, *prepared(path)


def die_at(step: int) -> Callable[[], int]:
    """Have this process die as it begins its `step`th step; half of what it writes then is written."""
    done = 0

    def watched(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if name != "open" or arguments[1] & os.O_CREAT:
                done += 1
                if done == step:
                    if name in ("write", "pwrite"):
                        plain(arguments[0], arguments[1][: len(arguments[1]) // 2], *arguments[2:])
                    os._exit(9)
            return plain(*arguments, **options)

        return call

    for name in STEPS:
        setattr(os, name, watched(name, getattr(os, name)))
    return lambda: done


def play_and_die(path: Path, command: c.Command[Any], step: int) -> int:
    """Play a command in a forked process that dies at a step; gives how it ended: 9 if it died, 0 if it had no more."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store = FileStore(path)
            store.identify(c.Identify())
            die_at(step)
            command.apply(store)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


NAMES = (
    "create", "replace", "load that touches", "save", "rotate", "rotate to an owner elsewhere", "rotate out of a slot",
    "end_owner", "sweep", "purge",
)  # fmt: skip
LIKE_OTHERS = ("get_or_create over an expired one", "touch", "end", "acquire_lock")
"""Step for step what `replace`, or a part of what a load that touches, `end_owner` and `save` do on the disk."""


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.deep) for name in LIKE_OTHERS)])
def test_t62_a_writer_may_die_at_any_step(
    tmp_path: Path, template: tuple[Path, Stage, dict[str, c.Command[Any]]], name: str
) -> None:
    """Whoever reads after the death sees all of the operation or nothing, and so does whoever writes next.

    The reader is one that had the store open all the while, and reads before anyone has repaired anything.
    """
    origin, stage, commands = template
    command = commands[name]
    sights = []
    for folder in ("before", "after"):
        shutil.copytree(origin, tmp_path / folder, symlinks=True)
        store = FileStore(tmp_path / folder)
        if folder == "after":
            command.apply(store)
            assert disorder(tmp_path / folder) == []
        sights.append(sight(store, stage, AT))
        store.close()
    seen, step, code = set(), 0, 9
    while code == 9:
        step += 1
        path = tmp_path / f"step {step}"
        shutil.copytree(origin, path, symlinks=True)
        reader = FileStore(path, patience_seconds=1.0)
        reader.identify(c.Identify())
        code = play_and_die(path, command, step)
        assert code in (0, 9)
        found = sight(reader, stage, AT)
        assert found in sights, f"half of it is seen after step {step}"
        seen.add(sights.index(found))
        # A new process carries out what was decided; nobody's sight changes by that.
        again = FileStore(path)
        assert sight(again, stage, AT) == sight(reader, stage, AT) == found
        assert disorder(path) == [], f"after step {step}"
        # And whoever repeats the operation gets it done.
        command.apply(again)
        assert sight(again, stage, AT) == sights[1]
        reader.close()
        again.close()
        shutil.rmtree(path)
    assert step > 8
    assert seen == ({0, 1} if sights[0] != sights[1] else {0})


def test_the_steps_are_seen(tmp_path: Path, template: tuple[Path, Stage, dict[str, c.Command[Any]]]) -> None:
    """The measure can fail: without the journal, dying between two files leaves half of the operation."""
    origin, stage, commands = template
    command, halves = commands["replace"], 0
    for step in range(6, 40):
        path = tmp_path / f"step {step}"
        shutil.copytree(origin, path, symlinks=True)
        before = sight(FileStore(path), stage, AT)
        if play_and_die(path, command, step) == 0:
            break
        for file in path.glob("??/journal"):
            # As if nothing had been decided.
            with file.open("r+b") as opened:
                header = journal.read_header(opened.fileno())
                assert header is not None
                journal.write_header(opened.fileno(), journal.begun_anew(header))
        found = sight(FileStore(path), stage, AT)
        halves += found != before and bool(disorder(path))
    assert halves
