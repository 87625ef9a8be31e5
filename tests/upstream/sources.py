"""The frameworks' own test suites on this disk: fetched once, verified, unpacked where no repository keeps them.

`python -m tests.upstream.sources` brings everything that the suites need; what is there already is not asked for again.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

REPOSITORY = Path(__file__).parents[2]
PLACE = REPOSITORY / ".venv" / ".upstream"
PACKAGES = PLACE / "packages"
"""What the suites import and nothing else here does: kept apart, so that `make test` is the same with and without."""
ARCHIVES = PLACE / "archives"
SOURCES = Path(__file__).with_name("sources.txt")
REQUIREMENTS = REPOSITORY / "requirements" / "upstream.txt"

_SOURCE = re.compile(r"(?P<name>[a-z]+)==(?P<version>[0-9.]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")
_PIP = (sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "--no-input")


class UnavailableError(Exception):
    """Something the suites need is not here and could not be fetched."""


@frozen
class Source:
    """One framework's source distribution, by its only acceptable content."""

    name: str
    version: str
    sha256: str

    @property
    def archive(self) -> Path:
        """Where pip puts it."""
        return ARCHIVES / f"{self.name}-{self.version}.tar.gz"

    @property
    def folder(self) -> Path:
        """Where its tests are unpacked."""
        return PLACE / f"{self.name}-{self.version}"

    @property
    def is_here(self) -> bool:
        """Whether the archive is on this disk, byte for byte."""
        return self.archive.is_file() and hashlib.sha256(self.archive.read_bytes()).hexdigest() == self.sha256


def pinned() -> dict[str, Source]:
    """Give the sources by name; a line that is neither a comment nor a pin with its hash is refused."""
    found = {}
    for line in SOURCES.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            source = _SOURCE.fullmatch(line)
            if source is None:
                raise ValueError(f"{SOURCES.name}: write name==version --hash=sha256:..., not {line!r}")
            found[source["name"]] = Source(**source.groupdict())
    return found


def provide(sources: Sequence[Source]) -> None:
    """Have every suite unpacked, and the packages that they import.

    Raises:
        UnavailableError: the index did not give something that is not here yet, or gave other bytes.
    """
    PLACE.mkdir(parents=True, exist_ok=True)
    _install()
    missing = [source for source in sources if not source.is_here]
    if missing:
        _fetch(missing)
    for source in sources:
        _unpack(source)


def _install() -> None:
    wanted = REQUIREMENTS.read_bytes() + sys.version.encode()
    stamp = PLACE / ".packages"
    if stamp.is_file() and stamp.read_bytes() == wanted:
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    _pip("install", "--no-deps", "--target", str(PACKAGES), "-r", str(REQUIREMENTS), missing=REQUIREMENTS.name)
    # Last, so that an interrupted installation is done again.
    stamp.write_bytes(wanted)


def _fetch(sources: Sequence[Source]) -> None:
    names = ", ".join(f"{source.name} {source.version}" for source in sources)
    # In hash mode pip looks at nothing it fetched before the hash is right. It then asks each distribution for its
    # metadata, for which the build back-ends are among our packages: what pip would choose for itself is not pinned.
    _pip(
        "download", "--require-hashes", "--no-deps", "--no-binary", ":all:", "--no-build-isolation",
        "--dest", str(ARCHIVES), "-r", str(SOURCES),
        missing=f"the source distribution of {names}",
    )  # fmt: skip
    for source in sources:
        if not source.is_here:
            raise UnavailableError(f"{source.archive.name} is not what tests/upstream/sources.txt names")


def _pip(*arguments: str, missing: str) -> None:
    done = subprocess.run([*_PIP, *arguments], env=os.environ | {"PYTHONPATH": str(PACKAGES)}, check=False)
    if done.returncode:
        raise UnavailableError(
            f"{missing} could not be fetched (pip says why above); "
            f"a package index is needed once, then all is kept in {PLACE.relative_to(REPOSITORY)}"
        )


def _unpack(source: Source) -> None:
    """Unpack the tests of `source`, and nothing else of it: what they test is the framework that is installed."""
    if (source.folder / source.sha256).is_file():
        return
    if not hasattr(tarfile, "data_filter"):
        raise UnavailableError("archives are unpacked safely since Python 3.11.4; name a newer one: make PYTHON=...")
    with tempfile.TemporaryDirectory(dir=PLACE) as temporary, tarfile.open(source.archive) as archive:
        archive.extractall(temporary, members=_wanted(archive), filter="data")
        shutil.rmtree(source.folder, ignore_errors=True)
        unpacked = Path(temporary, source.folder.name)
        (unpacked / source.sha256).touch()
        unpacked.rename(source.folder)


def _wanted(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        path = member.name.split("/")
        if path[1:2] == ["tests"] or path[1:] == ["pyproject.toml"]:
            yield member


if __name__ == "__main__":
    try:
        provide(list(pinned().values()))
    except UnavailableError as error:
        sys.exit(f"test-upstream: {error}")
