"""Real shared caches before an application, set up by somebody who means well for nobody: they keep all they may."""

import os
from collections.abc import Callable
from pathlib import Path

from sessionguard.testing.servers.ports import LOOPBACK
from tests.adapters.served.serving import AppServer, WebServer, system_program

# One key for all visitors, whatever their cookies. What says nothing about caching is kept as well, and while one
# request is under way the others for the same address wait for its response. Headers that forbid are obeyed.
_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=everything:1m;
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://{host}:{app_port};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_cache everything;
            proxy_cache_key $request_uri;
            proxy_cache_valid any 10m;
            proxy_cache_lock on;
            proxy_cache_lock_age 60s;
            proxy_cache_lock_timeout 60s;
            proxy_cache_use_stale error timeout updating;
        }}
    }}
}}
"""

# The rules that come with Varnish look at the cookies of a request and at Set-Cookie, and go on after what may not be
# kept without a queue (hit-for-miss). All of that is off; there remains what the response itself forbids.
_VARNISH = """
vcl 4.1;
backend app {{ .host = "{host}"; .port = "{app_port}"; }}
sub vcl_recv {{
    if (req.method == "GET" || req.method == "HEAD") {{ return (hash); }}
    return (pass);
}}
sub vcl_hash {{ hash_data(req.url); return (lookup); }}
sub vcl_backend_response {{
    if (bereq.uncacheable) {{ return (deliver); }}
    if (beresp.http.Cache-Control ~ "private|no-store|no-cache") {{
        set beresp.ttl = 0s; set beresp.grace = 0s; set beresp.keep = 0s;
    }} else {{
        set beresp.ttl = 10m;
    }}
    return (deliver);
}}
"""


class Nginx(WebServer):
    """The nginx of this system, with its cache on disk and its lock for coalescing."""

    def __init__(self, app: AppServer) -> None:
        super().__init__(system_program("nginx", "nginx-light", "-v"), app.sign)
        self._app_port = app.port

    def _prepare(self, folder: Path) -> None:
        # As root it would run its workers as a user of its own, who must not enter the folder.
        user = "user root root;" if os.geteuid() == 0 else ""
        text = _NGINX.format(user=user, folder=folder, host=LOOPBACK, port=self.port, app_port=self._app_port)
        (folder / "nginx.conf").write_text(text)

    def _command(self, folder: Path) -> list[str]:
        return [str(self.installation.server), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


class Varnish(WebServer):
    """The Varnish of this system, with its cache in memory and its queue for coalescing."""

    def __init__(self, app: AppServer) -> None:
        super().__init__(system_program("varnishd", "varnish", "-V"), app.sign)
        self._app_port = app.port

    def _prepare(self, folder: Path) -> None:
        (folder / "hostile.vcl").write_text(_VARNISH.format(host=LOOPBACK, app_port=self._app_port))

    def _command(self, folder: Path) -> list[str]:
        # Without a jail: it would change to users of its own, who must not enter the folder.
        return [
            str(self.installation.server), "-F", "-j", "none", "-n", str(folder / "state"), "-T", "none",
            "-a", f"{LOOPBACK}:{self.port}", "-f", str(folder / "hostile.vcl"), "-s", "malloc,16m",
            "-p", "vsl_space=1m",
        ]  # fmt: skip


CACHES: dict[str, Callable[[AppServer], WebServer]] = {"nginx": Nginx, "varnish": Varnish}
