"""A request to end is acted on where nothing is half done, and is never lost."""

import signal

import pytest

from sessionguard.cli.demo.interruption import SIGNALS, Interruption


@pytest.mark.parametrize("number", SIGNALS)
def test_request_is_acted_on_at_the_next_check(number: signal.Signals) -> None:
    """The signal itself interrupts nothing; the next check does."""
    with Interruption() as interruption:
        interruption.check()
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_second_request_is_acted_on_at_once() -> None:
    """Who asks twice does not wait for a check."""
    with Interruption():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_request_during_the_clean_up_is_not_raised() -> None:
    """Once a request is acted on, further ones do not disturb the clean-up."""
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)


def test_former_handlers_return() -> None:
    """Afterwards the signals mean what they meant before."""
    former = [signal.getsignal(number) for number in SIGNALS]
    with Interruption():
        assert [signal.getsignal(number) for number in SIGNALS] != former
    assert [signal.getsignal(number) for number in SIGNALS] == former
