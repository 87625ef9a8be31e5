"""Cleans up after a test run that was killed: a watcher that outlives the run, and nothing else."""

import os
import subprocess
from typing import Final

# Standard input is a pipe that only the test run holds; it ends when the run does, however it ends.
_WAIT: Final = "cat >/dev/null; "


class Watcher:
    """Runs `script`, for the shell, when this process is gone without having called `close`."""

    def __init__(self, script: str, *arguments: object) -> None:
        theirs, self._ours = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WAIT + script, "sh", *map(str, arguments)],
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
        """Let the watcher go; there is nothing left to clean up."""
        # Killed before the pipe is closed: it must not take the closing for the end of the run.
        os.killpg(self._process.pid, 9)
        self._process.wait()
        os.close(self._ours)
