"""Where the shop keeps its sessions: in memory, with a log of how each one ended."""

import logging

from sessionguard.stores.memory import MemoryStore


class ShopStore(MemoryStore):
    """A store like any other, that tells how sessions end."""

    def end(self, command):
        answer = super().end(command)
        logging.getLogger("shop").info("session %s: %s", command.session_id, answer.outcome.value)
        return answer
