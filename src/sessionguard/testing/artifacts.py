"""Where the reports of a test are left: one name for each test, which no other test has."""

import hashlib
import re
from pathlib import Path
from typing import Final

_LONGEST: Final = 120
"""Of a name, so that folder and ending still fit where a file system or a person has to cope with it."""


def artifact_path(folder: Path, test: str, ending: str) -> Path:
    """Give the path of a report of `test`, a node id of pytest, in `folder`, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{_stem(test)}.{ending}"


def _stem(test: str) -> str:
    dotted = test.replace(".py::", ".").replace("::", ".").replace("/", ".")
    stem = re.sub(r"[^\w.-]+", "_", dotted).strip("._")[:_LONGEST] or "test"
    # What was replaced or cut off told two tests apart; here the digits do.
    return stem if stem == dotted else f"{stem}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"
