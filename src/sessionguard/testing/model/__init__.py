"""The model: a store so plain that it can be checked by reading, against which every other store is compared.

It knows no index, no deadline queue and no clever order: each verb looks at all it has, with one lock held. It is
written apart from the memory store on purpose, so that a mistake in one is seen by comparing it with the other; and
it is made of small parts, so that a planted bug is one part done wrong.
"""

from sessionguard.testing.model.fleet import ModelFleet
from sessionguard.testing.model.locks import ModelLocks
from sessionguard.testing.model.sessions import ModelSessions

__all__ = ["ModelStore"]


class ModelStore(ModelSessions, ModelFleet, ModelLocks):
    """A blocking store with all abilities, in the memory of one process."""
