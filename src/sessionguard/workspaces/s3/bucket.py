"""One bucket, spoken to through botocore; every error of that driver ends here.

Why botocore: it is what AWS itself keeps, released with every change of S3, and the only one of the candidates that can
do all of this: replace an object on a condition (obstore can, s3fs cannot), list and abort unfinished uploads (obstore
cannot, and they cost money for ever), give links that set Content-Disposition (obstore cannot), read the rules and
rights of a bucket for the doctor (obstore cannot), and be dropped and made anew in a forked child (obstore and s3fs
keep threads that a fork loses). Its price, measured against moto on loopback with 4 KiB objects, November 2026, Python
3.11: botocore 1.43 makes its client in 0.5 s and 36 MB, and takes 12 ms a put and 8 ms a get; obstore 0.12 takes 0.05 s
and 10 MB, 3 ms and 3 ms; s3fs 2026.9 0.9 s and 53 MB, 13 ms and 22 ms. boto3 adds resources and a transfer manager, of
which nothing is used here.
"""

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from attrs import frozen

from sessionguard.core.points import Mode, point
from sessionguard.errors import WorkspaceUnavailableError
from sessionguard.forking import after_fork
from sessionguard.workspaces.s3.dating import ServerClock, date_of
from sessionguard.workspaces.s3.failures import LOST, code_of, translated
from sessionguard.workspaces.s3.layout import session_of
from sessionguard.workspaces.s3.settings import Settings

MOST_KEYS: Final = 1000
"""Of one listing or one deletion, by the protocol."""


@frozen
class Small:
    """An object that was read whole."""

    data: bytes
    etag: str


@frozen
class Swap:
    """What came of storing an object on a condition."""

    etag: str | None
    """Its own; None: the one that is there is another one."""
    is_certain: bool = True
    """False: that other one may be this very one, stored by a request whose reply was lost."""


@frozen
class Listed:
    """One object of a listing."""

    key: str
    bytes: int
    changed_at: datetime


@frozen
class Page:
    """Part of a listing, and where the next part begins; None at the end."""

    objects: Sequence[Listed]
    after: str | None
    at: datetime
    """The time of the server, by which ages are judged: a machine whose clock is ahead must not remove too early."""


@frozen
class Upload:
    """An upload in parts that was begun and not ended."""

    key: str
    upload_id: str
    begun_at: datetime


class Body:
    """The content of an object as it arrives."""

    def __init__(self, key: str, stream: Any, size: int, settings: Settings) -> None:
        self.bytes = size
        """How many are to come."""
        self._key = key
        self._settings = settings
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Give up to `size` bytes; none at the end, however early that is."""
        with translated("read", self._key, self._settings, changes=False):
            data: bytes = self._stream.read(size)
            return data

    def close(self) -> None:
        """Give the connection up."""
        self._stream.close()


class Bucket:
    """The requests, each one round trip and safe to repeat. Threads may share it; a forked child makes its own client.

    All raise WorkspaceUnavailableError where the outcome is not known, and ConfigurationError where access is refused.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = ServerClock()
        self._name = settings.bucket
        self._guard = threading.Lock()
        self._made: Any = None
        after_fork(self, Bucket._forget)

    def _forget(self) -> None:
        self._guard, self._made = threading.Lock(), None

    @property
    def _client(self) -> Any:
        with self._guard:
            if self._made is None:
                self._made = _made_client(self.settings)
                self.clock.listen(self._made)
                # botocore leaves its connections to the collector of garbage, which complains of each.
                weakref.finalize(self, self._made.close)
            return self._made

    @property
    def endpoint(self) -> str:
        """The address that is spoken to, wherever it was named."""
        return str(self._client.meta.endpoint_url)

    # Small objects

    def get(self, key: str, known_etag: str | None = None) -> Small | None:
        """Give an object, or None if there is none; one with `known_etag` is given without its data."""
        condition = {} if known_etag is None else {"IfNoneMatch": known_etag}
        with self._at("get", key, "r"):
            try:
                reply = self._client.get_object(Bucket=self._name, Key=key, **condition)
                return Small(reply["Body"].read(), reply["ETag"])
            except Exception as error:
                if code_of(error) in ("NoSuchKey", "404"):
                    return None
                if known_etag is not None and code_of(error) == "304":
                    return Small(b"", known_etag)
                raise

    def put(self, key: str, data: bytes | bytearray) -> None:
        """Store an object, in the place of any that is there."""
        with self._at("put", key, "w"):
            self._client.put_object(Bucket=self._name, Key=key, Body=data)

    def swap(self, key: str, data: bytes, etag: str | None) -> Swap:
        """Store an object if the one that is there has `etag`, or none is there if that is None."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        with self._at("swap", key, "w"):
            try:
                reply = self._client.put_object(Bucket=self._name, Key=key, Body=data, **condition)
            except Exception as error:
                if code_of(error) in LOST:
                    return Swap(None, is_certain=not _was_repeated(error))
                raise
            return Swap(str(reply["ETag"]))

    def size_of(self, key: str) -> int | None:
        """Give the length of an object, or None if there is none."""
        with self._at("head", key, "r"):
            try:
                return int(self._client.head_object(Bucket=self._name, Key=key)["ContentLength"])
            except Exception as error:
                if code_of(error) in ("NoSuchKey", "404"):
                    return None
                raise

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, there or not; at most `MOST_KEYS`."""
        if not keys:
            return
        with self._at("delete", keys[0], "w"):
            names = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            refused = self._client.delete_objects(Bucket=self._name, Delete=names).get("Errors", [])
            if refused:
                code = str(refused[0].get("Code", "unknown"))
                problem = f"{len(refused)} objects could not be removed ({code})"
                raise WorkspaceUnavailableError(session_of(keys[0]), "delete", problem, place=self.settings.full_url)

    # Contents

    def open(self, key: str, start: int) -> Body | None:
        """Give the bytes of an object from `start` on, or None if there is no object."""
        span = {"Range": f"bytes={start}-"} if start else {}
        with self._at("open", key, "r"):
            try:
                reply = self._client.get_object(Bucket=self._name, Key=key, **span)
            except Exception as error:
                if code_of(error) in ("NoSuchKey", "404"):
                    return None
                raise
            return Body(key, reply["Body"], int(reply["ContentLength"]), self.settings)

    def begin_parts(self, key: str) -> str:
        """Begin an upload in parts and give its id."""
        with self._at("begin parts", key, "w"):
            return str(self._client.create_multipart_upload(Bucket=self._name, Key=key)["UploadId"])

    def put_part(self, key: str, upload_id: str, number: int, data: bytes | bytearray) -> str:
        """Store part `number`, from 1 on, and give its etag."""
        with self._at("put part", key, "w"):
            reply = self._client.upload_part(
                Bucket=self._name, Key=key, UploadId=upload_id, PartNumber=number, Body=data
            )
            return str(reply["ETag"])

    def finish_parts(self, key: str, upload_id: str, etags: Sequence[str]) -> None:
        """Make the object of its parts. Not repeatable: where the outcome is unknown, look whether it is there."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with self._at("finish parts", key, "w"):
            self._client.complete_multipart_upload(
                Bucket=self._name, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )

    def abort_parts(self, key: str, upload_id: str) -> None:
        """Give an upload up, there or not; what was stored of it is gone."""
        with self._at("abort parts", key, "w"):
            try:
                self._client.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=upload_id)
            except Exception as error:
                if code_of(error) not in ("NoSuchUpload", "404"):
                    raise

    # Listings

    def page(self, prefix: str, after: str | None, limit: int = MOST_KEYS) -> Page:
        """List up to `limit` objects below `prefix` whose keys come after `after`."""
        with self._at("list", prefix, "r"):
            start = {} if after is None else {"StartAfter": after}
            reply = self._client.list_objects_v2(
                Bucket=self._name, Prefix=prefix, MaxKeys=min(limit, MOST_KEYS), **start
            )
            objects = [
                Listed(found["Key"], found["Size"], found["LastModified"]) for found in reply.get("Contents", [])
            ]
            more = objects[-1].key if objects and reply.get("IsTruncated") else None
            return Page(objects, more, _server_time(reply))

    def uploads(self, prefix: str, after: tuple[str, str] | None, limit: int) -> tuple[list[Upload], datetime, bool]:
        """List up to `limit` unfinished uploads below `prefix`, the time of the server, and whether there are more."""
        with self._at("list parts", prefix, "r"):
            start = {} if after is None else {"KeyMarker": after[0], "UploadIdMarker": after[1]}
            reply = self._client.list_multipart_uploads(
                Bucket=self._name, Prefix=prefix, MaxUploads=min(limit, MOST_KEYS), **start
            )
            found = [Upload(one["Key"], one["UploadId"], one["Initiated"]) for one in reply.get("Uploads", [])]
            return found, _server_time(reply), bool(reply.get("IsTruncated"))

    # Links and the bucket itself

    def link(self, key: str, seconds: int, headers: dict[str, str]) -> str:
        """Give a URL by which anybody may read an object for some seconds; nothing is asked of the bucket."""
        with translated("sign", key, self.settings, changes=False):
            parameters = {"Bucket": self._name, "Key": key, **headers}
            return str(self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds))

    def rules(self) -> list[dict[str, Any]]:
        """Give the lifecycle rules of the bucket."""
        with self._at("get rules", self._name, "r"):
            try:
                reply = self._client.get_bucket_lifecycle_configuration(Bucket=self._name)
            except Exception as error:
                if code_of(error) == "NoSuchLifecycleConfiguration":
                    return []
                raise
            return list(reply.get("Rules", []))

    def keeps_versions(self) -> bool:
        """Tell whether what is removed or replaced stays in the bucket as an old version."""
        with self._at("get versioning", self._name, "r"):
            return bool(self._client.get_bucket_versioning(Bucket=self._name).get("Status") == "Enabled")

    @contextmanager
    def _at(self, operation: str, key: str, mode: Mode) -> Iterator[None]:
        point(operation, key, mode)
        with translated(operation, key, self.settings, changes=mode == "w"):
            yield


def _was_repeated(error: Any) -> bool:
    """Tell whether the driver had sent the request before; if that is not known, it may have."""
    attempts = error.response.get("ResponseMetadata", {}).get("RetryAttempts")
    return bool(attempts != 0)


def _made_client(settings: Settings) -> Any:
    # Here, because it costs half a second and 36 MB, and a guard is often made where no file is ever touched.
    import botocore.session
    from botocore.config import Config

    with translated("connect", "", settings, changes=False):
        session = botocore.session.get_session()
        session.register_component("data_loader", _loader())
        return session.create_client(
            "s3",
            region_name=settings.region or session.get_config_variable("region") or "us-east-1",
            endpoint_url=settings.endpoint,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if settings.uses_path_style else "auto"},
                # Twice half the patience is all of it.
                connect_timeout=min(5.0, settings.patience_seconds / 2),
                read_timeout=settings.patience_seconds / 2,
                max_pool_connections=settings.connections,
                # All requests here are safe to repeat, also those on a condition: see `Stamped`.
                retries={"mode": "standard", "total_max_attempts": 2},
                # Newer checksums are refused by many that are not AWS. Lengths are checked, TLS guards the rest.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                user_agent_extra="sessionguard",
            ),
        )


@cache
def _loader() -> Any:
    """Give what reads the descriptions of services: once read, the next client of this process takes 20 ms."""
    from botocore.loaders import create_loader

    return create_loader()


def _server_time(reply: Any) -> datetime:
    # Without it: earlier than everything, so that nothing looks old.
    return date_of(reply["ResponseMetadata"]["HTTPHeaders"]) or datetime.fromtimestamp(0, UTC)
