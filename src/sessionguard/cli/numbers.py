"""Numbers on the command line, refused in words that name the option."""

from argparse import ArgumentTypeError


def whole_number(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no whole number above zero")
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds above zero, fractions allowed."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise ArgumentTypeError(f"{text!r} is no number of seconds above zero")
    return number


def share(text: str) -> float | None:
    """Read a share above 0 and below 1, or "off"."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if text != "off" and not 0 < number < 1:
        raise ArgumentTypeError(f"{text!r} is no share above 0 and below 1, and not 'off'")
    return None if text == "off" else number
