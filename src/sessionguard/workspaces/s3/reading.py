"""Read one content as it arrives, from any position; a broken connection is taken up where it broke."""

import io
import os
from typing import Final

from sessionguard.errors import WorkspaceError, WorkspaceUnavailableError
from sessionguard.workspaces.s3.bucket import Body, Bucket
from sessionguard.workspaces.s3.manifest import KEEP_SECONDS

_ATTEMPTS: Final = 3
_CHUNK_BYTES: Final = 256 * 1024


class ContentReader(io.RawIOBase):
    """The bytes of a content, which never change; its length is known from the manifest."""

    def __init__(self, bucket: Bucket, session_id: str, key: str, size: int) -> None:
        self._bucket = bucket
        self._session_id = session_id
        self._key = key
        self._size = size
        self._position = 0
        self._body: Body | None = None
        self._pid = os.getpid()

    def readable(self) -> bool:
        """Tell that it is for reading."""
        return True

    def seekable(self) -> bool:
        """Tell that it may be read from any position."""
        return True

    def tell(self) -> int:
        """Give where the next byte comes from."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Set where the next byte comes from, and give it. Nothing is asked for until it is read."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("a position is not negative")
        if start + offset != self._position:
            self._let_go()
            self._position = start + offset
        return self._position

    def readinto(self, target: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Fill `target` as far as bytes have come, and give how many; 0 at the end.

        Raises:
            WorkspaceUnavailableError: the bucket cannot be reached.
            WorkspaceError: the content is gone, or is not what was stored.
        """
        if not len(target):
            return 0
        for attempt in range(1, _ATTEMPTS + 1):
            if self._position >= self._size:
                return 0
            try:
                data = self._opened().read(min(len(target), self._size - self._position))
            except WorkspaceUnavailableError:
                self._let_go()
                if attempt == _ATTEMPTS:
                    raise
                continue
            if data:
                target[: len(data)] = data
                self._position += len(data)
                return len(data)
            self._let_go()
        raise WorkspaceUnavailableError(self._session_id, "read", "it ended before its end, each time")

    def readall(self) -> bytes:
        """Give all bytes from here on."""
        # The default asks for 8 KiB at a time.
        chunks = []
        buffer = bytearray(_CHUNK_BYTES)
        while size := self.readinto(buffer):
            chunks.append(bytes(buffer[:size]))
        return b"".join(chunks)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._let_go()
        super().close()

    def _opened(self) -> Body:
        if self._pid != os.getpid():
            # The connection is the parent's, who would miss what we read of it.
            self._body, self._pid = None, os.getpid()
        if self._body is None:
            body = self._bucket.open(self._key, self._position)
            if body is None:
                hours = KEEP_SECONDS / 3600
                problem = f"this file was replaced or deleted more than {hours:g} h ago, or removed by another program"
                raise WorkspaceError(self._session_id, problem)
            if body.bytes != self._size - self._position:
                body.close()
                raise WorkspaceError(self._session_id, "the content of this file is not as long as what was stored")
            self._body = body
        return self._body

    def _let_go(self) -> None:
        body, self._body = self._body, None
        if body is not None and self._pid == os.getpid():
            body.close()


def open_content(bucket: Bucket, session_id: str, key: str, size: int) -> io.BufferedReader:
    """Give a content as a buffered binary file."""
    return io.BufferedReader(ContentReader(bucket, session_id, key, size), _CHUNK_BYTES)
