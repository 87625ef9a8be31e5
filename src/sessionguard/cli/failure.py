"""The one error of the commands' own: what else can go wrong is the library's to say."""


class CommandError(Exception):
    """The command could not be tried; the message says why, in one line."""
