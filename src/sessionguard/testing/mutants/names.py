"""Planted bugs in comparing names: folded, joined, cut."""

import unicodedata

from sessionguard.core.records import NewSession, SessionRecord
from sessionguard.testing.model import ModelStore
from sessionguard.testing.model.keeping import Slot
from sessionguard.testing.mutants.planting import planted


@planted("owners_that_look_alike_are_distinct")
class FoldsCase(ModelStore):
    """Compares owners without regard to case, as many a database and file system does."""

    def slot(self, session: NewSession | SessionRecord) -> Slot:
        return (session.scope, session.owner.casefold(), session.external_id)


@planted("owners_that_look_alike_are_distinct")
class Normalises(ModelStore):
    """Compares owners in Unicode normal form."""

    def slot(self, session: NewSession | SessionRecord) -> Slot:
        return (session.scope, unicodedata.normalize("NFC", session.owner), session.external_id)


@planted("slots_are_never_joined")
class JoinsNames(ModelStore):
    """Makes one key of scope, owner and external id with a colon between them."""

    def slot(self, session: NewSession | SessionRecord) -> Slot:
        return (f"{session.scope}:{session.owner}:{session.external_id or ''}", "", None)


@planted("owners_that_look_alike_are_distinct")
class CutsNames(ModelStore):
    """Keeps the first 255 bytes of a name, as a column of fixed width does."""

    def slot(self, session: NewSession | SessionRecord) -> Slot:
        return (session.scope, session.owner.encode()[:255].decode(errors="ignore"), session.external_id)


@planted("external_ids_never_cross_owners")
class ExternalIdAlone(ModelStore):
    """Finds a session by the external id alone, so whoever sends another's id gets the other's session."""

    def slot(self, session: NewSession | SessionRecord) -> Slot:
        if session.external_id is None:
            return super().slot(session)
        return ("", "", session.external_id)


@planted("slots_are_scope_owner_and_external_id")
class ForgetsTheExternalId(ModelStore):
    """Leaves the external id out of the slot."""

    def slot(self, session: NewSession | SessionRecord) -> Slot:
        return (session.scope, session.owner, None)
