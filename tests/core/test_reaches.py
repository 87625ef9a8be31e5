"""What a command reaches: its shard, or everything; the same for the id, the token and the opening of a session."""

import asyncio
import secrets
from collections.abc import Hashable

import pytest

from sessionguard.core import points
from sessionguard.core.points import Part, areach, reach
from sessionguard.core.reaches import reached
from sessionguard.core.tokens import shard_of
from sessionguard.testing.contracts.stage import Stage

S = Stage(secrets.token_hex(16))
ANA = S.new("ana")


def test_commands_about_one_session_reach_one_shard() -> None:
    """Whether a session is named by its id, by its token or by being opened, the same part is reached."""
    mine: Hashable = Part("store", shard_of(ANA.id))
    writers = (S.create(ANA), S.get_or_create(ANA), S.replace(ANA), S.load(ANA), S.save(ANA, {"a": 1}), S.touch(ANA))
    writers += (S.rotate(ANA), S.end(ANA), S.acquire(ANA, "me"), S.renew(ANA, "me"), S.release(ANA, "me"))  # type: ignore[assignment]
    assert {reached(command, "store") for command in writers} == {(mine, "w")}
    assert reached(S.get(ANA), "store") == (mine, "r")


def test_commands_about_many_sessions_reach_all_shards() -> None:
    """A sweep, a purge and whatever is about an owner, whose sessions may be of any shard, reach the whole."""
    commands = (S.sweep(), S.purge(), S.end_owner("ana"), S.rotate(ANA, owner="bob"))
    assert {reached(command, "store") for command in commands} == {("store", "w")}
    assert reached(S.page(), "store") == ("store", "r")


def test_reaching_says_it_to_whoever_listens() -> None:
    """Blocking and awaited, the hook hears the label, the resource and the mode; what only reads says so."""
    heard: list[object] = []

    async def hear(*said: object) -> None:
        heard.append(said)

    with points.installed(lambda *said: heard.append(said), hear):
        reach("look", "store", S.load(ANA), "r")
        asyncio.run(areach("sweep", "store", S.sweep()))
    reach("unheard", "store", S.sweep())
    assert heard == [("look", Part("store", shard_of(ANA.id)), "r"), ("sweep", "store", "w")]


def test_nothing_is_worked_out_for_nobody() -> None:
    """Without a harness the command is not even looked at."""
    reach("save", "store", None)  # type: ignore[arg-type]
    asyncio.run(areach("save", "store", None))  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [Part("store", "a7")])
def test_a_part_is_shown_with_its_whole(part: Part) -> None:
    """In a report both can be read."""
    assert str(part) == "store/a7"


def test_a_clean_up_reads_all_and_its_turns_are_apart() -> None:
    """Counting what is due meets every change; a turn meets nothing but turns."""
    assert {reached(command, "store") for command in (S.census(), S.find_due())} == {("store", "r")}
    assert {reached(command, "store") for command in (S.take_turn("one"), S.give_turn("two"))} == {
        (Part("store", "tu"), "w")
    }
