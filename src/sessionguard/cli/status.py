"""What the exit statuses of every command mean."""

OK = 0
"""Done, or the answer is yes."""
FAILED = 1
"""The answer is no: not found, a problem was found, the demonstration failed."""
UNUSABLE = 2
"""It could not be tried: wrong arguments, an absent package, an unavailable store."""
INTERRUPTED = 130
"""Ended by Ctrl-C or a request to terminate."""
