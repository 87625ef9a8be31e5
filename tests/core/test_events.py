"""The event bus: everyone hears everything in order, and whoever fails is reported and disturbs nobody."""

import pickle

import pytest

from sessionguard.core.events import (
    Event,
    EventBus,
    IdentityMismatched,
    SessionCreated,
    SessionEnded,
    SessionEvent,
    Subscriber,
    TokenRejected,
)

CREATED = SessionCreated("ab" * 17, "default", "ada", "create")
ENDED = SessionEnded("ab" * 17, "default", "ada", "revoked")


def quiet(subscriber: Subscriber, error: Exception) -> None:
    """Report nothing."""


def test_all_hear_all_in_order() -> None:
    """Each subscriber gets each event once."""
    bus, first, second = EventBus(quiet), list[Event](), list[Event]()
    bus.subscribe(first.append)
    bus.subscribe(second.append)
    bus.publish(CREATED)
    bus.publish(ENDED)
    assert first == second == [CREATED, ENDED]


def test_failure_is_reported_with_its_subscriber() -> None:
    """The one after it hears the event all the same."""
    failures: list[tuple[Subscriber, Exception]] = []
    bus, heard = EventBus(lambda subscriber, error: failures.append((subscriber, error))), list[Event]()
    error = RuntimeError("down")

    def fail(event: Event) -> None:
        raise error

    bus.subscribe(fail)
    bus.subscribe(heard.append)
    bus.publish(CREATED)
    assert failures == [(fail, error)]
    assert heard == [CREATED]


def test_interruption_is_not_a_failure() -> None:
    """Whoever presses Ctrl-C in a subscriber wants the program to end."""
    bus = EventBus(quiet)

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    bus.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        bus.publish(CREATED)


def test_subscribing_and_leaving_while_events_are_told() -> None:
    """Who comes during an event hears the next one; who leaves still hears this one."""
    bus, heard = EventBus(quiet), list[str]()
    leave_late = bus.subscribe(lambda event: None)

    def first(event: Event) -> None:
        heard.append("first")
        leave_late()
        bus.subscribe(lambda event: heard.append("newcomer"))

    bus.subscribe(first)
    bus.publish(CREATED)
    assert heard == ["first"]
    bus.publish(CREATED)
    assert heard == ["first", "first", "newcomer"]


@pytest.mark.parametrize(
    "event", [CREATED, ENDED, TokenRejected("unknown", None), IdentityMismatched("s", "get", "id")]
)
def test_events_are_values(event: Event) -> None:
    """They cannot be changed, compare by content and survive the way to another process."""
    assert pickle.loads(pickle.dumps(event)) == event
    with pytest.raises(AttributeError):
        event.reason = "other"  # type: ignore[attr-defined]


def test_t36_events_have_no_field_for_a_secret() -> None:
    """Nothing in any event class could hold a token or data."""

    def below(base: type[Event]) -> list[type[Event]]:
        return [base, *(each for child in base.__subclasses__() for each in below(child))]

    names = {attribute.name for each in below(Event) if each is not SessionEvent for attribute in each.__attrs_attrs__}
    assert names.isdisjoint({"token", "token_hash", "data", "changes", "secret"})
    assert "session_id" in names
