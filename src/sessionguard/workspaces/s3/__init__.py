"""Private files of sessions in object storage: whatever speaks S3."""

import re
from importlib.metadata import version
from importlib.util import find_spec

from sessionguard.errors import ConfigurationError, MissingExtraError

if find_spec("botocore") is None:
    raise MissingExtraError("s3", "botocore>=1.36")
# Older ones know no If-Match for PutObject.
if tuple(map(int, re.findall(r"\d+", version("botocore"))[:2])) < (1, 36):
    raise ConfigurationError("botocore", version("botocore"), "use a newer one: pip install 'botocore>=1.36'")

from sessionguard.workspaces.links import MAX_LINK
from sessionguard.workspaces.s3.settings import Settings, open_s3
from sessionguard.workspaces.s3.workspace import S3Workspace
from sessionguard.workspaces.s3.workspaces import S3Workspaces

__all__ = ["MAX_LINK", "S3Workspace", "S3Workspaces", "Settings", "open_s3"]
