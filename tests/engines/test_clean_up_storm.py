"""The storm over clean-up: a canary per owner in data and files, while sessions expire, end and are killed."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sessionguard import SessionGuard
from sessionguard.core.leases import FindLease
from sessionguard.core.locking import LEASE_SECONDS
from sessionguard.testing import Profile
from sessionguard.testing.servers import S3Server
from tests.conftest import installed
from tests.engines.clean_up_storm import Stage, Storm
from tests.engines.conftest import Engine

_log = logging.getLogger(__name__)

LEASE = timedelta(seconds=LEASE_SECONDS)
Look = Callable[[], set[str]]

pytestmark = pytest.mark.processes


def prepared(stage: Stage) -> None:
    """Make what the first to come makes: schema, deployment, the folder of the files."""
    with stage.opened(sweep_interval=None) as guard:
        guard.end(guard.create("first"))


def ids_held(guard: SessionGuard, at: datetime) -> list[str]:
    """Give the sessions that somebody holds at that instant by the store."""
    store: Any = guard._store
    sessions = guard.sessions(status=None)
    return [session.id for session in sessions if store.leased_until(FindLease(session.id, at)) is not None]


def require_clean(stage: Stage, directories: Look, left_behind: Look) -> None:
    """The next pass leaves no orphan, the first after the last lease of the killed leaves nobody's files in use."""
    now = datetime.now(UTC)
    with stage.opened(sweep_interval=None, clock=lambda: now) as guard:
        # At one instant, so that nothing expires between the pass and the look at what it left.
        swept = guard.sweep(10_000)
        living = {session.id for session in guard.sessions()}
        leased = set(ids_held(guard, now))
        is_leased_there = guard._parts.setting.leases_in_store
        assert directories() <= (living | leased if is_leased_there else living), swept
        assert left_behind() == set()
        for number in range(stage.owners):
            guard.end_owner(f"owner-{number}")
        now += LEASE
        assert ids_held(guard, now) == []
        # Again and again, each on from where the one before stopped looking.
        for _ in range(3):
            swept = guard.sweep(10_000)
        assert (directories(), swept.skipped_in_use) == (set(), 0)


@pytest.mark.parametrize("engine", ["sqlite", "postgres", "redis"], indirect=True)
def test_clean_up_harms_nobody_and_leaves_nothing(engine: Engine, tmp_path: Path, sg_profile: Profile) -> None:
    """Nobody sees another's canary, nothing that lives is removed, and the next pass leaves no orphan and no lease."""
    is_deep = sg_profile.name == "deep"
    owners, workers, seconds = (500, 16, 60.0) if is_deep else (6, 4, 0.5)
    work = tmp_path / "work"
    stage = Stage(engine.url, str(work), tmp_path, owners, workers, {})
    prepared(stage)
    storm = Storm(stage, seconds, processes=4 if is_deep else 2)
    storm.play()
    _log.info("%s, kills: %s", stage.counts(), storm.kills)
    assert stage.complaints() == ""
    assert stage.counts()["requests"] > 50
    assert stage.counts()["passes"] > 0
    require_clean(
        stage,
        lambda: {path.name for path in work.glob("*/[0-9a-f][0-9a-f]/*")},
        lambda: {path.name for folder in (".trash", ".pending") for path in work.glob(f"*/{folder}/*")},
    )


def test_clean_up_of_a_bucket_harms_nobody(tmp_path: Path, sg_profile: Profile) -> None:
    """The same where only leases in the store tell who uses what: those of the killed delay a removal, and lapse."""
    # Here, as boto is loaded where a bucket is opened.
    from sessionguard.workspaces.s3 import open_s3
    from sessionguard.workspaces.s3.bucket import Bucket

    is_deep = sg_profile.name == "deep"
    owners, workers, seconds = (50, 4, 30.0) if is_deep else (1, 3, 0.2)
    with installed(S3Server) as server, pytest.MonkeyPatch.context() as patched:
        settings = server.credentials | {"AWS_EC2_METADATA_DISABLED": "true"}
        for name, value in settings.items():
            patched.setenv(name, value)
        url = f"s3://sessions/storm?endpoint={server.endpoint}"
        stage = Stage(f"sqlite:///{tmp_path}/sessions.db", url, tmp_path, owners, workers, settings)
        prepared(stage)
        storm = Storm(stage, seconds, processes=4 if is_deep else 2)
        storm.play()
        _log.info("%s, kills: %s", stage.counts(), storm.kills)
        assert stage.complaints() == ""
        bucket = Bucket(open_s3("s3://sessions/storm", {"endpoint": server.endpoint}).settings)

        def directories() -> set[str]:
            page = bucket.page("storm/", None)
            assert page.after is None
            names = (found.key.split("/")[2] for found in page.objects)
            return {name for name in names if not name.startswith(".")}

        require_clean(stage, directories, set)
