"""Every example of README and documentation runs, and prints what the page shows.

How a page says what a block is: `tests/docs/markdown.py`.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sessionguard.cli.__main__ import COMMANDS
from sessionguard.testing import CI, Profile
from tests.architecture.source_tree import REPOSITORY
from tests.docs.markdown import PAGES, Block, Chain, blocks_of, chains_of, shape_of

LIMIT_SECONDS = 60
CHAINS = [chain for page in PAGES for chain in chains_of(page)]
CONSOLES = [block for page in PAGES for block in blocks_of(page) if block.language == "console"]
RUN = [block for block in CONSOLES if block.remark == "run"]
END_OF_COMMAND = "--- end of command ---"


def write_files(page: Path, folder: Path) -> None:
    """Put the files that a page shows into `folder`."""
    for block in blocks_of(page):
        if block.file_name:
            (folder / block.file_name).write_text(block.text + "\n", encoding="utf-8")


def run_chain(chain: Chain, folder: Path) -> str:
    """Run a program of a page in `folder` and give what it printed."""
    program = folder / "example.py"
    program.write_text(chain.source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{chain}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_python_example_runs(chain: Chain, tmp_path: Path, sg_profile: Profile) -> None:
    """The example runs beside the files of its page, in long runs again there, and prints what the page shows."""
    write_files(chain.blocks[0].page, tmp_path)
    for _ in range(1 if sg_profile is CI else 2):
        printed = run_chain(chain, tmp_path)
        if chain.printed:
            shown = "\n".join(block.text for block in chain.printed)
            assert shape_of(printed) == shape_of(shown)


def commands_of(block: Block) -> list[tuple[str, str]]:
    """Give the commands of a console block, each with the output shown for it."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"{block}: output before the first command"
    pairs = (part.partition("\n") for part in parts[1:])
    return [(command, shown) for command, _, shown in pairs]


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def script_of(commands: list[str]) -> str:
    """Give a script that runs the commands and marks the end of each one's output; what it starts, it ends."""
    port = str(free_port())
    lines = ['make() { sessionguard "$@"; }', "trap 'for job in $(jobs -p); do kill $job; wait $job; done' EXIT"]
    for command in commands:
        command = command.replace("8000", port)
        if command.endswith("&"):
            ready = f"curl -s -o /dev/null http://127.0.0.1:{port}/"
            command = f"{command[:-1]} >server.log 2>&1 &\nfor i in $(seq 300); do {ready} && break; sleep 0.05; done"
        lines += [command, f"echo; echo '{END_OF_COMMAND}'"]
    return "\n".join(lines)


@pytest.mark.processes
@pytest.mark.parametrize("block", RUN, ids=str)
def test_console_example_keeps_its_shape(block: Block, tmp_path: Path) -> None:
    """The commands of the page give the output that the page shows, but for ids, times and numbers."""
    commands = commands_of(block)
    if any("curl" in command for command, _ in commands) and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    write_files(block.page, tmp_path)
    done = subprocess.run(
        ["bash", "-c", script_of([command for command, _ in commands])],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    outputs = done.stdout.split(END_OF_COMMAND)
    assert len(outputs) == len(commands) + 1, done.stderr
    for (command, shown), output in zip(commands, outputs, strict=False):
        assert shape_of(output) == shape_of(shown), f"$ {command}\n{output}\n{done.stderr}"


PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def unknown_in(command: str) -> list[str]:
    """Give what a shown command names and this project does not have."""
    unknown = [target for target in re.findall(r"\bmake ([a-z-]+)", command) if target not in TARGETS]
    unknown += [name for name in re.findall(r"\bsessionguard ([a-z]+)", command) if name not in COMMANDS]
    extras = {extra for group in re.findall(r"sessionguard\[([\w,-]+)\]", command) for extra in group.split(",")}
    return unknown + sorted(extras - set(PROJECT["optional-dependencies"]))


@pytest.mark.parametrize("block", CONSOLES, ids=str)
def test_shown_commands_exist(block: Block) -> None:
    """Every make target, command and extra that a page shows exists."""
    for command, _ in commands_of(block):
        assert unknown_in(command) == [], f"{block}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of this repository leads to a file that is there."""
    text = page.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


BROKEN_PAGE = """
```python
x = 1
print("one", x)
```

<!-- prints -->
```text
one 5
```

<!-- continues -->
```python
print(missing)
```

<!-- file: app.py -->
```python
print("alone")
```
"""


def test_planted_faults_are_caught(tmp_path: Path) -> None:
    """A failing block, another output, an unknown command: each is seen, with the line of the page."""
    page = REPOSITORY / "planted.md"
    first, second = chains_of(page, BROKEN_PAGE)
    assert [block.line for block in first.blocks] == [3, 14]
    with pytest.raises(AssertionError, match=r"planted\.md:3\n(.|\n)*line 14(.|\n)*NameError"):
        run_chain(first, tmp_path)
    assert run_chain(second, tmp_path) == "alone\n"
    assert (first.printed[0].text, second.blocks[0].file_name) == ("one 5", "app.py")
    assert shape_of("one 1") == shape_of("one  5") != shape_of("two 1")
    assert unknown_in("make tests; sessionguard lsit; pip install 'sessionguard[flask,nosuch]'") == [
        "tests",
        "lsit",
        "nosuch",
    ]
