"""The scripts as files: each says what it does, is known to the server by our digest, and stays in its slot."""

import re
from pathlib import Path

import pytest

from sessionguard.stores.redis import scripts
from sessionguard.stores.redis.scripts import SCRIPTS
from sessionguard.testing.servers import RedisServer

FILES = sorted(Path(scripts.__file__).parent.glob("*.lua"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_server_knows_it_by_our_digest(name: str, redis_server: RedisServer) -> None:
    """It compiles, and its digest is the one by which it is called."""
    script = SCRIPTS[name]
    assert redis_server.command("SCRIPT", "LOAD", script.source) == script.digest.decode()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_what_it_does(path: Path) -> None:
    """It begins with a sentence, and no line is too long to read."""
    lines = path.read_text(encoding="ascii").splitlines()
    assert lines[0].startswith("-- ")
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_keys_are_made_from_the_prefix_of_the_shard(path: Path) -> None:
    """No command names a key that could lie in another slot, and no data is ever read as JSON."""
    text = path.read_text(encoding="ascii")
    assert "cjson" not in text
    named = re.findall(r"call\('([A-Z]+)'(?:, ([^,)]+))?", text)
    allowed = r"P|P \.\. .*|KEYS\[1\]|key|log|data|history|LOCKS|SLOT|owned|owner_key\(.*|slot_key\(.*"
    for command, key in named:
        assert command == "TIME" or re.fullmatch(allowed, key), (command, key)
