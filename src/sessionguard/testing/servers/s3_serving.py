"""The process behind `S3Server`: moto's S3, made as strict as the real one about two requests at a time.

Run as `python -m sessionguard.testing.servers.s3_serving PORT`; it is not imported by anything else.
"""

import io
import re
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import FakeMultipart
from moto.s3.responses import S3Response
from werkzeug.serving import run_simple

from sessionguard.testing.servers.ports import LOOPBACK

Environment = dict[str, Any]


class OneAtATime:
    """Answers requests one after the other, each only when all of it is there.

    moto looks at a condition and stores in two steps, between which another request may come; a real S3 does not. And
    a request whose body is cut off changes nothing, as there.
    """

    def __init__(self, application: Callable[[Environment, Any], Iterable[bytes]]) -> None:
        self._application = application
        self._guard = threading.Lock()

    def __call__(self, environment: Environment, start: Any) -> Iterable[bytes]:
        """Answer."""
        length = int(environment.get("CONTENT_LENGTH") or 0)
        # Outside of the lock: a client that stands still must not stop the others.
        body = environment["wsgi.input"].read(length) if length else b""
        if len(body) < length:
            start("400 Bad Request", [("Content-Length", "0")])
            return [b""]
        environment["wsgi.input"] = io.BytesIO(body)
        with self._guard:
            return list(self._application(environment, start))


class Remembering(DomainDispatcherApplication):
    """Finds the service of a host once, where moto looks through its folder of services for every request."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._services: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Give the service."""
        if host not in self._services:
            self._services[host] = super().get_backend_for_host(host)
        return self._services[host]


def tell_when_uploads_began() -> None:
    """Have listings of unfinished uploads say when each began, where moto says 2010."""
    began: dict[str, str] = {}
    upload_class, response_class = cast("Any", FakeMultipart), cast("Any", S3Response)
    create, listing = upload_class.__init__, response_class.list_multipart_uploads

    def created(upload: Any, *arguments: Any, **named: Any) -> None:
        create(upload, *arguments, **named)
        began[upload.id] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def dated(upload: re.Match[str]) -> str:
        found = re.search(r"<UploadId>([^<]+)<", upload.group())
        instant = began[found.group(1)] if found else ""
        return re.sub(r"<Initiated>[^<]*<", f"<Initiated>{instant}<", upload.group())

    def listed(response: Any) -> Any:
        status, headers, body = listing(response)
        text = body if isinstance(body, str) else body.decode()
        return status, headers, re.sub(r"<Upload>.*?</Upload>", dated, text, flags=re.DOTALL)

    upload_class.__init__, response_class.list_multipart_uploads = created, listed


def main() -> None:
    """Serve until ended."""
    tell_when_uploads_began()
    application = Remembering(create_backend_app)
    run_simple(LOOPBACK, int(sys.argv[1]), OneAtATime(application), threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
