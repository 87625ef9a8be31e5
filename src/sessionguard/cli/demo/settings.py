"""What the processes of one run share: which app they serve, and where it keeps its things."""

import json
import secrets
from pathlib import Path
from typing import Literal, Self

from attrs import asdict, frozen

WORKERS_PER_INSTANCE = 2

AppName = Literal["broken", "guarded", "trusting"]
"""`trusting` is the guarded app with a planted bug: it opens the session that the form names."""


@frozen
class Settings:
    """The settings of every process of one run."""

    app: AppName
    folder: str
    """A directory of this run alone, readable by this user alone."""
    secret_key: str
    """What Flask signs its own cookies with; the same in all workers, and made anew for each run."""

    @classmethod
    def new(cls, app: AppName, folder: Path) -> Self:
        """Give the settings of a run that keeps its files in `folder`."""
        return cls(app, str(folder), secrets.token_hex(32))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `store` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def store(self) -> Path:
        """Write them into the folder of the run and give the file."""
        path = Path(self.folder) / "settings.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path
