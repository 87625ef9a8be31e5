"""The one error that means: the demonstration could not run."""


class DemoError(Exception):
    """The demonstration could not run; the message says why, in one line."""
