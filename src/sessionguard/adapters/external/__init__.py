"""Sessions that other programs name: `POST /new-session`, `POST /clear-session`, `GET /debug-sessions`, `?_sid=`.

The id selects, a credential authorises: an id that a client insists on names one of the caller's own sessions, and by
itself opens none of anybody else's. The mounts are in the folders and files of the frameworks.
"""

from sessionguard.adapters.external.flows import ExternalFlows
from sessionguard.adapters.external.policies import Bearer, Claim, Policy, Select, Signed, Strict
from sessionguard.adapters.external.reading import MAX_BODY_BYTES, Carried, is_form
from sessionguard.adapters.external.replies import Reply, refused
from sessionguard.adapters.external.rules import NONCE_SCOPE, ExternalIds
from sessionguard.adapters.external.signing import SignedExternalId, sign_external_id
from sessionguard.adapters.external.situation import NamingRequest

__all__ = [
    "MAX_BODY_BYTES",
    "NONCE_SCOPE",
    "Bearer",
    "Carried",
    "Claim",
    "ExternalFlows",
    "ExternalIds",
    "NamingRequest",
    "Policy",
    "Reply",
    "Select",
    "Signed",
    "SignedExternalId",
    "Strict",
    "is_form",
    "refused",
    "sign_external_id",
]
