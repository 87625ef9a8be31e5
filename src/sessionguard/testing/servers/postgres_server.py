"""One PostgreSQL server."""

import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from sessionguard.testing.servers.installations import Installation, find_postgres
from sessionguard.testing.servers.ports import LOOPBACK, free_port
from sessionguard.testing.servers.postgres_template import (
    ADMINISTRATOR,
    USER,
    copy_template,
    own,
    reachable_folder,
    server_user,
)
from sessionguard.testing.servers.postgres_wire import PostgresLine, PostgresReplyError
from sessionguard.testing.servers.running import Server

DATABASE = "postgres"


class PostgresServer(Server):
    """A PostgreSQL on loopback, with its default configuration but for `config`; what it acknowledges is durable.

    The user of its URL is a superuser, who needs a password only if one is given here. Its data lie in a private folder
    that is made in `place`.
    """

    # Fast shutdown: clients are cut off; a smart one would wait for them.
    stop_signal = signal.SIGINT

    def __init__(
        self,
        *,
        config: Mapping[str, str | int] | None = None,
        password: str | None = None,
        binaries: Installation | None = None,
        place: Path | None = None,
    ) -> None:
        super().__init__(binaries or find_postgres(), user=server_user(), place=place)
        self.password = password
        self._config = dict(config or {})

    @property
    def url(self) -> str:
        """The store URL of this server; it stays the same over restarts."""
        credentials = USER if self.password is None else f"{USER}:{quote(self.password, safe='')}"
        return f"postgresql://{credentials}@{LOOPBACK}:{self.port}/{DATABASE}"

    def execute(self, statements: str) -> list[tuple[str | None, ...]]:
        """Run statements in the running server as its administrator; gives all rows, each value as text.

        Raises:
            PostgresReplyError: a statement failed.
        """
        with PostgresLine(self.port, ADMINISTRATOR, DATABASE) as line:
            return line.execute(statements)

    def flush(self) -> None:
        """Every schema that was made in the running server is gone, with all that is in it."""
        for (name,) in self.execute(
            "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'"
        ):
            self.execute(f"DROP SCHEMA {name} CASCADE")
        self.execute("CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public")

    def _prepare(self, folder: Path) -> None:
        own(folder, self._user)
        data = folder / "data"
        copy_template(self.installation, data, self._user)
        method = "trust" if self.password is None else "scram-sha-256"
        rules = f"host all {ADMINISTRATOR} {LOOPBACK}/32 trust\nhost all all {LOOPBACK}/32 {method}\n"
        (data / "pg_hba.conf").write_text(rules, encoding="utf-8")

    def start(self) -> None:
        """The server serves, on the data that it had; a running one is left alone.

        Raises:
            ServerStartError: it ended, or did not serve in time; with the end of its log.
        """
        super().start()
        if self.password is not None:
            quoted = self.password.replace("'", "''")
            self.execute(f"SET password_encryption = 'scram-sha-256'; ALTER ROLE {USER} PASSWORD '{quoted}'")

    def _command(self, folder: Path) -> list[str]:
        settings = {"listen_addresses": LOOPBACK, "port": self.port, "unix_socket_directories": ""} | self._config
        command = [str(self.installation.server), "-D", str(folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _is_ready(self) -> bool:
        # Another server may have the port: only our own writes this file. Its last line is the state.
        assert self.folder is not None
        state = (self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()
        if state[-1:] != ["ready"]:
            return False
        try:
            with PostgresLine(self.port, ADMINISTRATOR, DATABASE, seconds=1.0):
                return True
        except PostgresReplyError:
            # It still starts.
            return False

    def _pick_port(self) -> int:
        return free_port()

    def _default_place(self) -> str | None:
        return reachable_folder(self._user)
