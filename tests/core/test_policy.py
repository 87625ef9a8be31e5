"""Policies: validated once, contradictions named, found by scope."""

from datetime import timedelta
from typing import Any

import pytest

from sessionguard.core.policy import PolicyBook, SessionPolicy
from sessionguard.errors import ConfigurationError, InvalidArgumentError

DURATIONS = ["idle_timeout", "absolute_timeout", "touch_interval", "rotation_grace", "history_retention"]


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("value", [60, "1h", timedelta(seconds=-1), True, timedelta.max], ids=str)
def test_wrong_duration_is_refused_by_name(name: str, value: Any) -> None:
    """A number without a unit, text, a negative duration and one that no engine can count are refused."""
    with pytest.raises(ConfigurationError) as caught:
        SessionPolicy(**{name: value})
    assert caught.value.setting.startswith("SessionPolicy.")


@pytest.mark.parametrize("name", ["idle_timeout", "absolute_timeout", "history_retention"])
@pytest.mark.parametrize("value", [timedelta(0), None], ids=str)
def test_timeouts_cannot_be_nothing(name: str, value: Any) -> None:
    """There is no session without an end and no end at once."""
    with pytest.raises(ConfigurationError, match=name):
        SessionPolicy(**{name: value})


def test_rotation_grace_cannot_be_none() -> None:
    """No grace is zero, not None."""
    assert SessionPolicy(rotation_grace=timedelta(0)).rotation_grace == timedelta(0)
    with pytest.raises(ConfigurationError, match="rotation_grace"):
        SessionPolicy(rotation_grace=None)  # type: ignore[arg-type]


LIMITS = (
    "max_data_bytes",
    "max_data_depth",
    "workspace_bytes",
    "workspace_files",
    "owner_bytes",
    "owner_files",
    "max_active",
)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True], ids=str)
def test_wrong_count_is_refused_by_name(name: str, value: Any) -> None:
    """Limits are whole numbers above zero."""
    with pytest.raises(ConfigurationError, match=name):
        SessionPolicy(**{name: value})


def test_timeouts_that_contradict_each_other_are_refused() -> None:
    """An idle timeout past the absolute one, or a touch interval that would let a busy session expire."""
    with pytest.raises(ConfigurationError, match="idle_timeout"):
        SessionPolicy(idle_timeout=timedelta(days=2), absolute_timeout=timedelta(days=1))
    with pytest.raises(ConfigurationError, match="touch_interval"):
        SessionPolicy(idle_timeout=timedelta(minutes=1), touch_interval=timedelta(minutes=1))


@pytest.mark.parametrize(
    "idle, touch",
    [
        (timedelta(hours=2), timedelta(minutes=1)),
        (timedelta(minutes=10), timedelta(seconds=30)),
        (timedelta(seconds=1), timedelta(milliseconds=50)),
    ],
)
def test_touch_interval_follows_from_the_idle_timeout(idle: timedelta, touch: timedelta) -> None:
    """A twentieth of it, at most a minute."""
    assert SessionPolicy(idle_timeout=idle).lifetime().touch_us == touch // timedelta(microseconds=1)


def test_t23_defaults_are_finite() -> None:
    """Without a word both timeouts hold."""
    policy = SessionPolicy()
    assert timedelta(0) < policy.idle_timeout < policy.absolute_timeout <= timedelta(days=30)


def test_each_scope_finds_its_policy() -> None:
    """A mapping answers by scope, and by `*` for the rest."""
    short, rest = SessionPolicy(idle_timeout=timedelta(minutes=1)), SessionPolicy()
    book = PolicyBook({"upload": short, "*": rest})
    assert book.rules("upload").policy is short
    assert book.rules("default").policy is rest
    assert PolicyBook(short).rules("anything").policy is short
    assert PolicyBook(None).rules("default").policy == SessionPolicy()


def test_scope_without_policy_is_refused() -> None:
    """No scope gets timeouts that nobody chose for it; the message names those there are."""
    with pytest.raises(InvalidArgumentError, match="upload"):
        PolicyBook({"upload": SessionPolicy()}).rules("other")


@pytest.mark.parametrize("policy", [{}, [], "policy", 1, {"a": None}, {"a": timedelta(1)}, SessionPolicy])
def test_what_is_no_policy_is_refused(policy: Any) -> None:
    """Anything but a policy or a mapping to policies."""
    with pytest.raises(ConfigurationError, match="policy"):
        PolicyBook(policy)
