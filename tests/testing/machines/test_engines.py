"""Guards on every engine, blocking and async, agree with the plain model in every trace, burst and interruption."""

from functools import partial
from typing import Any, Final

import pytest

from sessionguard.testing import (
    PostgresServer,
    Profile,
    RedisServer,
    machine_settings,
    run_guard_machine,
)
from tests.testing.machines.places import made_on, on_url

# A burst plays its whole past in every order, each in a place of its own, which a database takes long to make.
_SCHEDULES: Final = {"memory": 6, "sqlite": 3, "file": 3, "postgres": 2, "redis": 4}
_SHARE: Final = {"memory": 0.4, "sqlite": 0.2, "file": 0.2, "postgres": 0.2, "redis": 0.2}


def play(engine: str, make_guard: Any, profile: Profile) -> None:
    """Play as many traces as the profile says, fewer on engines that take longer."""
    examples = max(3, int(profile.examples * _SHARE[engine]))
    schedules = _SCHEDULES[engine] if profile.name == "ci" else 50
    run_guard_machine(make_guard, machine_settings(profile, max_examples=examples), schedules=schedules)


@pytest.mark.parametrize("kind", ["blocking", "async"])
@pytest.mark.parametrize("engine", ["memory", "sqlite", "file"])
def test_a_guard_on_this_machine_agrees_with_the_model(engine: str, kind: str, sg_profile: Profile) -> None:
    """Every trace on the memory, SQLite and file stores, with files and locks, is as the model says."""
    play(engine, made_on(engine, kind), sg_profile)


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_guard_on_redis_agrees_with_the_model(kind: str, sg_profile: Profile, redis_server: RedisServer) -> None:
    """Every trace on Redis is as the model says."""
    play("redis", partial(on_url, lambda place: f"{redis_server.url}?prefix={place.name}", kind), sg_profile)


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_guard_on_postgresql_agrees_with_the_model(
    kind: str, sg_profile: Profile, postgres_server: PostgresServer
) -> None:
    """Every trace on PostgreSQL is as the model says."""
    play("postgres", partial(on_url, lambda place: f"{postgres_server.url}?schema={place.name}", kind), sg_profile)
