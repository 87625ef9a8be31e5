"""Whether a bucket is one to rely on: asked briefly when a guard opens it, and thoroughly by the doctor."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sessionguard.core.findings import Finding
from sessionguard.errors import ConfigurationError, SessionGuardError, WorkspaceUnavailableError
from sessionguard.workspaces.s3.bucket import Bucket
from sessionguard.workspaces.s3.failures import needed_rights, told
from sessionguard.workspaces.s3.layout import Layout

_DEPLOYMENT: Final = "sessionguard doctor"
# Signatures are refused from 15 minutes on:
# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
_CLOCK: Final = timedelta(minutes=5)
_ATTEMPTS: Final = 3


class _UnclearError(Exception):
    """A lost reply left open what the place did; to be asked again under another key."""


def require_conditions(bucket: Bucket, layout: Layout) -> None:
    """Return if the place really refuses what must be refused; some that speak S3 take every condition for true.

    Raises:
        ConfigurationError: it does not, or access is refused.
        WorkspaceUnavailableError: it cannot be told.
    """
    for _ in range(_ATTEMPTS):
        key = layout.probe()
        try:
            problem = _broken_promise(bucket, key)
        except _UnclearError:
            continue
        finally:
            # What failed first is the news; whether this may be done was tried on the way.
            with suppress(SessionGuardError):
                bucket.delete([key])
        if problem is None:
            return
        remedy = f"this place does not honour conditional requests ({problem}); two writers would overwrite one another"
        raise ConfigurationError("workspaces", bucket.settings.full_url, remedy)
    raise WorkspaceUnavailableError(None, "probe", "replies were lost again and again")


def _broken_promise(bucket: Bucket, key: str) -> str | None:
    etag = _stored(bucket, key, b"1", None)
    if etag is None:
        return "If-None-Match refuses a new object"
    if bucket.swap(key, b"2", None).etag is not None:
        return "If-None-Match overwrites an object"
    newer = _stored(bucket, key, b"3", etag)
    if newer is None:
        return "If-Match refuses the right etag"
    if bucket.swap(key, b"4", etag).etag is not None:
        return "If-Match takes an old etag"
    bucket.delete([key])
    if bucket.swap(key, b"5", newer).etag is not None:
        return "If-Match makes an object that is gone"
    return None


def _stored(bucket: Bucket, key: str, data: bytes, etag: str | None) -> str | None:
    swap = bucket.swap(key, data, etag)
    if swap.etag is None and not swap.is_certain:
        # The driver sent it twice, and the second was refused for what the first one had stored.
        raise _UnclearError
    return swap.etag


def examine(bucket: Bucket) -> list[Finding]:
    """Say what is wrong with a bucket, if anything; objects of its own are made and removed below the prefix."""
    layout = Layout.of(bucket.settings.prefix, _DEPLOYMENT)
    findings = [_asked("bucket", bucket, lambda: _reached(bucket, layout))]
    if findings[0].level == "problem":
        return findings
    findings += [
        _asked("conditions", bucket, lambda: _conditions(bucket, layout)),
        _asked("rights", bucket, lambda: _rights(bucket, layout)),
        # Not needed to work, and often not allowed to an application.
        _asked("lifecycle", bucket, lambda: _lifecycle(bucket), optional_right="s3:GetLifecycleConfiguration"),
        _asked("versions", bucket, lambda: _versions(bucket), optional_right="s3:GetBucketVersioning"),
    ]
    return findings


def _asked(subject: str, bucket: Bucket, ask: Callable[[], Finding], *, optional_right: str | None = None) -> Finding:
    try:
        return ask()
    except SessionGuardError as error:
        problem, remedy = told(error, bucket.settings)
        if optional_right is not None:
            message = f"it could not be examined: {problem}"
            return Finding("warning", subject, message, f"allow {optional_right}, or see for yourself")
        return Finding("problem", subject, f"{bucket.settings.full_url}: {problem}", remedy)


def _reached(bucket: Bucket, layout: Layout) -> Finding:
    # By a listing: the answer to HEAD has no body, and says of nothing but its status what is wrong.
    apart = abs(bucket.page(layout.folder, None, 1).at - datetime.now(UTC))
    if apart > _CLOCK:
        message = f"its clock and the one of this machine are {apart.total_seconds():.0f} s apart"
        return Finding(
            "warning", "bucket", message, "set this machine's clock (NTP); from 15 minutes on all is refused"
        )
    return Finding("ok", "bucket", f"{bucket.settings.full_url} is there")


def _conditions(bucket: Bucket, layout: Layout) -> Finding:
    require_conditions(bucket, layout)
    return Finding("ok", "conditions", "conditional requests are honoured")


def _rights(bucket: Bucket, layout: Layout) -> Finding:
    key = layout.probe()
    failed = [f"{what}: {told(error, bucket.settings)[0]}" for what, error in _failures(bucket, layout, key)]
    if failed:
        return Finding("problem", "rights", "not possible: " + "; ".join(failed), needed_rights(bucket.settings))
    return Finding("ok", "rights", "all that is needed may be done")


def _failures(bucket: Bucket, layout: Layout, key: str) -> Iterator[tuple[str, SessionGuardError]]:
    steps: list[tuple[str, Callable[[], object]]] = [
        ("write", lambda: bucket.put(key, b"probe")),
        ("read", lambda: bucket.get(key)),
        ("list", lambda: bucket.page(layout.folder, None, 1)),
        ("write in parts", lambda: bucket.abort_parts(key, bucket.begin_parts(key))),
        ("list unfinished uploads", lambda: bucket.uploads(layout.folder, None, 1)),
        ("remove", lambda: bucket.delete([key])),
    ]
    for what, step in steps:
        try:
            step()
        except SessionGuardError as error:
            yield what, error


def _lifecycle(bucket: Bucket) -> Finding:
    rules = [rule for rule in bucket.rules() if rule.get("Status") == "Enabled" and _reaches(rule, bucket)]
    if any("Expiration" in rule and _ends_objects(rule["Expiration"]) for rule in rules):
        remedy = "take this prefix out of the rule: it removes files of sessions that live, and their manifests"
        return Finding("problem", "lifecycle", "a rule of the bucket removes objects by their age", remedy)
    if not any("AbortIncompleteMultipartUpload" in rule for rule in rules):
        remedy = "add a rule AbortIncompleteMultipartUpload of some days: it works while no sweep runs, too"
        return Finding("warning", "lifecycle", "no rule of the bucket ends unfinished uploads", remedy)
    return Finding("ok", "lifecycle", "unfinished uploads end by a rule of the bucket")


def _ends_objects(expiration: dict[str, Any]) -> bool:
    return "Days" in expiration or "Date" in expiration


def _reaches(rule: dict[str, Any], bucket: Bucket) -> bool:
    """Tell whether a rule may concern objects below the prefix; one by tag or size is taken to."""
    named = rule.get("Filter", {})
    prefix = str(rule.get("Prefix") or named.get("Prefix") or named.get("And", {}).get("Prefix") or "")
    ours = bucket.settings.prefix
    return ours.startswith(prefix) or prefix.startswith(ours)


def _versions(bucket: Bucket) -> Finding:
    if bucket.keeps_versions():
        remedy = "turn versioning off, or add a rule NoncurrentVersionExpiration of a day"
        return Finding(
            "warning", "versions", "the bucket keeps old versions, of removed files and of manifests", remedy
        )
    return Finding("ok", "versions", "what is removed is gone")
