"""The command `sessionguard`: all commands there are."""

import sys
from collections.abc import Sequence
from typing import Final

from sessionguard.cli import adopt, contract, replay, running
from sessionguard.cli.application import LOOKING_AFTER
from sessionguard.cli.demo import command as demo

COMMANDS: Final[running.Commands] = {
    "demo": (demo, "show shared upload sessions in a broken app, and their absence in a guarded one"),
    **LOOKING_AFTER,
    "adopt": (adopt, "let a table of PostgreSQL keep to one active session per slot"),
    "contract": (contract, "put a store of your own to the contract kit, without writing a test"),
    "replay": (replay, "run the schedule of a saved race again, and say whether it still fails"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    return running.run(COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
