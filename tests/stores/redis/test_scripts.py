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


# What `save` and `load_at_once` do without the prelude: the functions there, whole, and what stands for each.
COPIES = {
    "is_active": ("return not m[RS] and NOW < tonumber(m[EP])", "if m[RS] or NOW >= tonumber(m[EP]) or (TAKEN) then"),
    "is_taken": ("return visitor ~= '' and visitor ~= m[OW]", "(ARGV[9] ~= '' and ARGV[9] ~= m[OW]) then"),
    "has_done": (
        "local known = call('GET', P .. 'q:' .. id) return known and string.find(known, operation, 1, true)",
        "if done and string.find(done, OPERATION, 1, true) then",
    ),
    "remember": (
        "local key = P .. 'q:' .. id local known = call('GET', key) or '' "
        "call('SET', key, string.sub(operation .. ',' .. known, 1, 32 * 17), 'PX', ms)",
        "call('SET', log, string.sub(OPERATION .. ',' .. done, 1, 32 * 17), 'KEEPTTL') "
        "else call('SET', log, OPERATION .. ',', 'PX', ms)",
    ),
    "touch_is_due": ("return NOW - m[LS] >= tonumber(m[TU]) and takes_writes(P)", "now - m[7] < tonumber(m[16])"),
}


def code_of(name: str) -> str:
    """Give a script in one line, without its comments."""
    text = (Path(scripts.__file__).parent / f"{name}.lua").read_text(encoding="ascii")
    return " ".join(re.sub(r"--.*", "", text).split())


def fields_of(code: str) -> list[str]:
    """Give which fields of a record a script reads, in their order."""
    (listed,) = re.findall(r"'HMGET', P \.\. 's:' \.\. \w+((?:, '\w+')+)\)", code)
    return re.findall(r"'(\w+)'", listed)


def test_what_reads_a_record_without_the_prelude_reads_the_same_fields() -> None:
    """Up to the last that is shown they stand where the prelude has them, and each number is that of its field."""
    prelude, save, load = map(code_of, ("prelude", "save", "load_at_once"))
    fields = fields_of(prelude)
    shown = fields[: fields.index("tu") + 1]
    assert fields_of(load) == shown
    assert fields_of(save) == [*shown, "sz"]
    assert [shown[number - 1] for number in (2, 7, 16)] == ["ow", "ls", "tu"]
    for code in (prelude, save):
        for names, numbers in re.findall(r"local ((?:[A-Z]{2}, )+[A-Z]{2}) = ((?:\d+, )+\d+)", code):
            where = [fields_of(code)[int(number) - 1] for number in numbers.split(", ")]
            assert where == names.lower().split(", ")


@pytest.mark.parametrize("function", COPIES)
def test_what_decides_without_the_prelude_decides_the_same(function: str) -> None:
    """A check that is added to one function of the prelude has to be added to what stands for it elsewhere."""
    whole, instead = COPIES[function]
    (body,) = re.findall(rf"local function {function}\([^)]*\) (.*?) end(?= local|$)", code_of("prelude"))
    assert body == whole
    assert (
        instead.replace("TAKEN", "ARGV[9] ~= '' and ARGV[9] ~= m[OW]") in f"{code_of('save')} {code_of('load_at_once')}"
    )
