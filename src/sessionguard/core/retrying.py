"""How long to wait before trying again: exponential backoff with full jitter.

Full jitter spreads competing callers over the whole interval
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from collections.abc import Iterator
from typing import Final

from sessionguard.core.tokens import RandomBytes

_FIRST_SECONDS: Final = 0.002
_LONGEST_SECONDS: Final = 0.25


def delays(random_bytes: RandomBytes) -> Iterator[float]:
    """Give the seconds to wait before each further try, for ever; the caller knows when it has tried for too long."""
    ceiling = _FIRST_SECONDS
    while True:
        yield ceiling * int.from_bytes(random_bytes(4), "big") / 2**32
        ceiling = min(ceiling * 2, _LONGEST_SECONDS)
