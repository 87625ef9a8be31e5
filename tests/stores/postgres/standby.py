"""A hot standby of another server, as `pg_basebackup` makes one."""

from pathlib import Path

from sessionguard.testing.servers import EngineMissingError, PostgresServer
from sessionguard.testing.servers.ports import LOOPBACK
from sessionguard.testing.servers.postgres_template import ADMINISTRATOR, own, run_as


class HotStandby(PostgresServer):
    """It follows a running primary, of the same installation, and answers reads."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(binaries=primary.installation)
        self._primary = primary

    def _prepare(self, folder: Path) -> None:
        program = self.installation.program("pg_basebackup")
        if not program.exists():
            raise EngineMissingError("postgresql", f"{program} is not there", "install PostgreSQL's client programs")
        assert self._primary.folder is not None
        rules = self._primary.folder / "data" / "pg_hba.conf"
        with rules.open("a", encoding="utf-8") as file:
            file.write(f"host replication {ADMINISTRATOR} {LOOPBACK}/32 trust\n")
        self._primary.execute("SELECT pg_reload_conf()")
        own(folder, self._user)
        where = ["-h", LOOPBACK, "-p", str(self._primary.port), "-U", ADMINISTRATOR, "-D", str(folder / "data")]
        # -R: with standby.signal, and the address of the primary.
        run_as(self._user, [str(program), *where, "-R", "-c", "fast", "--no-sync"])

    def promote(self) -> None:
        """It is a primary from here on."""
        self.execute("SELECT pg_promote()")
