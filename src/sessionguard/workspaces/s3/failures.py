"""What went wrong between the driver and the bucket, said in this library's errors; nothing secret is repeated."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sessionguard.errors import ConfigurationError, SessionGuardError, WorkspaceUnavailableError
from sessionguard.workspaces.s3.layout import session_of

# 412: another one is there. 409: another request was at it. 404: none is there. All: look again.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
LOST: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404"})

_REMEDIES: Final[Mapping[str, str]] = {
    "AccessDenied": "these credentials may not do that; `sessionguard doctor --workspaces` tells what they need",
    "403": "these credentials may not do that; `sessionguard doctor --workspaces` tells what they need",
    "NoSuchBucket": "there is no such bucket; make it, or correct its name",
    "InvalidAccessKeyId": "the credentials are not known there",
    "SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes requests",
    "InvalidToken": "the credentials are not valid there",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "AuthorizationHeaderMalformed": "the region is wrong; name the bucket's with ?region=",
    "PermanentRedirect": "the bucket is in another region; name it with ?region=",
    "301": "the bucket is in another region; name it with ?region=",
    "NotImplemented": "this vendor lacks what is needed; `sessionguard doctor --workspaces` tells what",
}
_WITHOUT_CREDENTIALS: Final = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")


def code_of(error: BaseException) -> str:
    """Give the code by which the server refused, or "" if it was not the server."""
    reply = getattr(error, "response", None)
    return str(reply.get("Error", {}).get("Code", "")) if isinstance(reply, Mapping) else ""


@contextmanager
def translated(operation: str, key: str) -> Iterator[None]:
    """Let no error of the driver, or of the network under it, out of the block as it is.

    Raises:
        ConfigurationError: the server refused for good; nothing was done.
        WorkspaceUnavailableError: it may or may not have been done.
    """
    try:
        yield
    except SessionGuardError:
        raise
    except Exception as error:
        if not _is_of_driver(error):
            raise
        name, code = type(error).__name__, code_of(error)
        if name in _WITHOUT_CREDENTIALS:
            remedy = "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a role"
            raise ConfigurationError("workspaces", f"S3, {operation}", remedy) from error
        if code in _REMEDIES:
            raise ConfigurationError("workspaces", f"S3, {operation}: {code}", _REMEDIES[code]) from error
        # The code, never the text: that repeats what was sent.
        raise WorkspaceUnavailableError(session_of(key), operation, code or name) from error


def _is_of_driver(error: Exception) -> bool:
    # The driver lets some errors of the network through, and of urllib3, by which it speaks.
    package = type(error).__module__.split(".")[0]
    return package in ("botocore", "urllib3", "http") or isinstance(error, OSError)
