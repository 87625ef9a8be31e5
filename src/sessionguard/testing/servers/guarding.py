"""Ends a server whose test run was killed: a watcher that outlives the run, and nothing else."""

import os
import subprocess
from pathlib import Path
from typing import Final

# Standard input is a pipe that only the test run holds; it ends when the run does, however it ends.
_SCRIPT: Final = 'cat >/dev/null; kill -9 "$1" 2>/dev/null; sleep 1; rm -rf "$2"'


class Watcher:
    """Kills the process `pid` and removes `folder` when this process is gone without having called `close`."""

    def __init__(self, pid: int, folder: Path) -> None:
        theirs, self._ours = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "sh", str(pid), str(folder)],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)

    def close(self) -> None:
        """Let the watcher go; the server is not its business any more."""
        # Killed before the pipe is closed: it must not take the closing for the end of the run.
        os.killpg(self._process.pid, 9)
        self._process.wait()
        os.close(self._ours)
