"""What is left to sell. Several buyers reach it at once."""

import threading

from sessionguard.core.points import point


class Stock:
    """So many things, each of which is sold once."""

    def __init__(self, count):
        self.count = count
        self._lock = threading.Lock()

    def take(self):
        """Take one, and say whether there was one left."""
        with self._lock:
            point("look", "stock", "r")
            if self.count == 0:
                return False
            point("take", "stock", "w")
            self.count -= 1
            return True
