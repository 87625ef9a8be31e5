"""Bring one content into the bucket while it arrives, in bounded memory."""

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from sessionguard.errors import SessionGuardError, WorkspaceError, WorkspaceUnavailableError
from sessionguard.workspaces.s3.bucket import Bucket
from sessionguard.workspaces.s3.layout import session_of
from sessionguard.workspaces.s3.settings import MEBIBYTE, MOST_PARTS

_AT_ONCE: Final = 3
"""Parts on their way. With the one that is being filled, four are in memory."""


# "Processing of a CompleteMultipartUpload request could take several minutes":
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
_JOINED_BYTES_A_SECOND: Final = 5 * MEBIBYTE
_PAUSE_SECONDS: Final = 0.1
_UNKNOWN_UPLOAD: Final = "NoSuchUpload"


class Uploading:
    """The bytes of one content. What fits into one part is stored in one request, by `finish`."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self.key = key
        self.bytes = 0
        self._bucket = bucket
        self._part_bytes = bucket.settings.part_bytes
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._senders: ThreadPoolExecutor | None = None
        self._on_the_way: deque[Future[str]] = deque()
        self._etags: list[str] = []
        self._has_put = False

    def write(self, octets: memoryview) -> None:
        """Take all of `octets`; waits while as many parts are on their way as may be.

        Raises:
            WorkspaceUnavailableError, ConfigurationError: a part could not be stored; discard all of it.
            WorkspaceError: the file has more parts than there may be.
        """
        done = 0
        while done < len(octets):
            # Only when more comes, so that the last part is never empty.
            if len(self._buffer) == self._part_bytes:
                self._send()
            taken = octets[done : done + self._part_bytes - len(self._buffer)]
            self._buffer += taken
            done += len(taken)
        self.bytes += done

    def finish(self) -> None:
        """Have the content under its key, durably.

        Raises:
            WorkspaceUnavailableError, ConfigurationError: it may or may not be there; discard it.
        """
        if self._upload_id is None:
            self._has_put = True
            self._bucket.put(self.key, self._buffer)
            self._buffer = bytearray()
            return
        if self._buffer:
            self._send()
        while self._on_the_way:
            self._etags.append(self._on_the_way.popleft().result())
        self._end_senders()
        self._has_put = True
        self._join(self._upload_id)
        self._upload_id = None

    def discard(self) -> None:
        """Take back what was stored, as far as the bucket can be reached; the rest is removed by its age."""
        self._end_senders()
        self._buffer = bytearray()
        with suppress(SessionGuardError):
            if self._upload_id is not None:
                self._bucket.abort_parts(self.key, self._upload_id)
            if self._has_put:
                self._bucket.delete([self.key])

    def forget(self) -> None:
        """Let go of everything without waiting."""
        self._end_senders()
        self._buffer = bytearray()

    def _send(self) -> None:
        number = len(self._etags) + len(self._on_the_way) + 1
        if number > MOST_PARTS:
            limit = MOST_PARTS * self._part_bytes
            problem = (
                f"a file may have {limit} bytes in parts of {self._part_bytes}; make part_bytes of Settings larger"
            )
            raise WorkspaceError(str(session_of(self.key)), problem)
        if self._upload_id is None:
            self._upload_id = self._bucket.begin_parts(self.key)
            self._senders = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sessionguard-part")
        if len(self._on_the_way) == _AT_ONCE:
            self._etags.append(self._on_the_way.popleft().result())
        assert self._senders is not None
        part, self._buffer = self._buffer, bytearray()
        self._on_the_way.append(self._senders.submit(self._bucket.put_part, self.key, self._upload_id, number, part))

    def _join(self, upload_id: str) -> None:
        """Have the parts made into one object; a server may take its time for it, the more the larger it is."""
        deadline = time.monotonic() + self._bucket.settings.patience_seconds + self.bytes / _JOINED_BYTES_A_SECOND
        while True:
            try:
                self._bucket.finish_parts(self.key, upload_id, self._etags)
                return
            except WorkspaceUnavailableError as error:
                with suppress(WorkspaceUnavailableError):
                    # The reply may have been lost on the way; asked again, the server knows no such upload any more.
                    if self._bucket.size_of(self.key) == self.bytes:
                        return
                    if error.problem == _UNKNOWN_UPLOAD:
                        deadline = 0.0
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _end_senders(self) -> None:
        if self._senders is not None:
            # Those on their way end by themselves: waiting for them could take as long as the network is down.
            self._senders.shutdown(wait=False, cancel_futures=True)
            self._senders = None
        self._on_the_way.clear()
