"""What went wrong between the driver and the bucket, said in this library's errors; nothing secret is repeated."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from sessionguard.errors import ConfigurationError, SessionGuardError, WorkspaceUnavailableError
from sessionguard.workspaces.s3.layout import session_of
from sessionguard.workspaces.s3.settings import Settings

# 412: another one is there. 409: another request was at it. 404: none is there. All: look again.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
LOST: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404"})

_NOT_ALLOWED: Final = frozenset({"AccessDenied", "403"})
_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    "NoSuchBucket": ("there is no such bucket", "make it, or correct its name"),
    "InvalidAccessKeyId": ("the credentials are not known there", "correct AWS_ACCESS_KEY_ID, or the endpoint"),
    "SignatureDoesNotMatch": ("the secret key is wrong, or a proxy changes requests", "correct AWS_SECRET_ACCESS_KEY"),
    "InvalidToken": ("the credentials are not valid there", "correct AWS_SESSION_TOKEN, or the endpoint"),
    "ExpiredToken": ("the credentials have expired", "give new ones"),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set it (NTP)"),
    "AuthorizationHeaderMalformed": ("the region is wrong", "name the bucket's with ?region="),
    "PermanentRedirect": ("the bucket is in another region", "name it with ?region="),
    "301": ("the bucket is in another region", "name it with ?region="),
    "NotImplemented": ("this vendor lacks what is needed", "use a newer release of it, or another"),
}
"""Codes by which a server refuses for good: the problem, and what to do."""
_WITHOUT_CREDENTIALS: Final = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")


def needed_rights(settings: Settings) -> str:
    """Say what the credentials must be allowed to do."""
    bucket = f"arn:aws:s3:::{settings.bucket}"
    return (
        "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on "
        f"{bucket}/{settings.prefix}*, and s3:ListBucket and s3:ListBucketMultipartUploads on {bucket}"
    )


def told(error: SessionGuardError, settings: Settings) -> tuple[str, str]:
    """Give what went wrong and what to do about it, apart; the place is not named again."""
    if isinstance(error, ConfigurationError):
        problem, _, remedy = error.remedy.partition("; ")
        return problem, remedy
    if isinstance(error, WorkspaceUnavailableError):
        endpoint = settings.endpoint or "it"
        remedy = f"see whether {endpoint} answers from here; another is named with ?endpoint= or AWS_ENDPOINT_URL_S3"
        return f"it could not be asked ({error.operation}: {error.problem})", remedy
    return str(error), ""


def code_of(error: BaseException) -> str:
    """Give the code by which the server refused, or "" if it was not the server."""
    reply = getattr(error, "response", None)
    return str(reply.get("Error", {}).get("Code", "")) if isinstance(reply, Mapping) else ""


@contextmanager
def translated(operation: str, key: str, settings: Settings, *, changes: bool) -> Iterator[None]:
    """Let no error of the driver, or of the network under it, out of the block as it is.

    Raises:
        ConfigurationError: the server refused for good; nothing was done.
        WorkspaceUnavailableError: it may or may not have been done; if nothing `changes`, that does not matter.
    """
    try:
        yield
    except SessionGuardError:
        raise
    except Exception as error:
        if not _is_of_driver(error):
            raise
        refusal = _refusal(error, settings)
        # The code, never the text: that repeats what was sent.
        name = code_of(error) or type(error).__name__
        if refusal is not None:
            problem, remedy = refusal
            remedy = f"{problem} ({operation}: {name}); {remedy}"
            raise ConfigurationError("workspaces", settings.full_url, remedy) from error
        problem = f"{name}{_host_of(error)}"
        raise WorkspaceUnavailableError(
            session_of(key), operation, problem, place=settings.full_url, changes=changes
        ) from error


def _refusal(error: Exception, settings: Settings) -> tuple[str, str] | None:
    if type(error).__name__ in _WITHOUT_CREDENTIALS:
        return "no credentials were found", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a role"
    if code_of(error) in _NOT_ALLOWED:
        return "these credentials may not do that", needed_rights(settings)
    return _REFUSALS.get(code_of(error))


def _host_of(error: Exception) -> str:
    """Say which host did not answer; the environment may have named it, and with a password."""
    url = getattr(error, "kwargs", {}).get("endpoint_url")
    return f" at {urlsplit(url).netloc.rpartition('@')[2]}" if isinstance(url, str) else ""


def _is_of_driver(error: Exception) -> bool:
    # The driver lets some errors of the network through, and of urllib3, by which it speaks.
    package = type(error).__module__.split(".")[0]
    return package in ("botocore", "urllib3", "http") or isinstance(error, OSError)
