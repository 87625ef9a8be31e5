"""What goes wrong with a server, in our words: what it was, whether anything was done, what helps; and no password."""

import pickle
import socket
from collections.abc import Iterator

import psycopg
import pytest

from sessionguard.core import commands as c
from sessionguard.errors import StoreDataError, StoreTimeoutError, StoreUnavailableError
from sessionguard.stores.postgres import PostgresStore
from sessionguard.stores.postgres.settings import Settings
from sessionguard.stores.postgres.translation import is_gone, refused, translated
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.servers import PostgresServer
from tests.conftest import installed
from tests.stores.postgres.asking import COMMANDS, as_role, scene
from tests.stores.postgres.conftest import OpenStore

PASSWORD = "correct horse/battery@staple?"


Line = tuple[Settings, psycopg.Connection[tuple[object, ...]]]


@pytest.fixture
def line(store: PostgresStore, postgres_server: PostgresServer) -> Iterator[Line]:
    """The settings of a store and a connection."""
    with psycopg.connect(postgres_server.url) as connection:
        yield store.settings, connection


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[PostgresServer]:
    """A server that asks for a password."""
    with installed(lambda: PostgresServer(password=PASSWORD)) as server:
        yield server


def outage(store: PostgresStore) -> StoreUnavailableError:
    """Give the outage that a store reports; it is picklable and has no password in it."""
    with pytest.raises(StoreUnavailableError) as caught:
        store.identify(c.Identify())
    error = caught.value
    cause: BaseException | None = error
    while cause is not None:
        assert "horse" not in str(cause)
        cause = cause.__cause__ or cause.__context__
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    return error


def test_a_wrong_password(open_store: OpenStore, guarded_server: PostgresServer) -> None:
    """A wrong password is told as such at once, is not transient, and a right one works."""
    assert open_store(guarded_server.url).identify(c.Identify())
    wrong = guarded_server.url.replace("correct", "incorrect")
    error = outage(open_store(wrong))
    assert "password authentication failed" in str(error)
    assert "check the user, the password" in str(error)
    assert not error.transient
    assert not outage(open_store(as_role(guarded_server.url, guarded_server.url.split(":")[1].strip("/")))).transient


def test_an_unknown_database_and_an_unknown_role(open_store: OpenStore, postgres_server: PostgresServer) -> None:
    """Each is named, with its remedy, and is not transient."""
    base, _, _ = postgres_server.url.rpartition("/")
    error = outage(open_store(f"{base}/nowhere"))
    assert 'database "nowhere" does not exist' in str(error)
    assert "create the database" in str(error)
    assert not error.transient
    error = outage(open_store(as_role(postgres_server.url, "nobody_here")))
    assert "check the user" in str(error)
    assert not error.transient


def test_nobody_listens(open_store: OpenStore) -> None:
    """A refused connection is a transient outage."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = outage(open_store(f"postgresql://ana:horse@127.0.0.1:{taken.getsockname()[1]}/postgres"))
    assert "see that the server runs" in str(error)
    assert error.transient


def test_no_connection_is_left(open_store: OpenStore, postgres_server: PostgresServer, schema_name: str) -> None:
    """A role that has all its connections in use is told so; it is transient."""
    role = f"narrow_{schema_name}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    error = outage(open_store(as_role(postgres_server.url, role)))
    assert "use a smaller pool" in str(error)
    assert error.transient
    postgres_server.execute(f"DROP ROLE {role}")


def test_a_database_that_turned_read_only(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """As after a failover to a replica: transient, the remedy is named, and all connections are dropped."""
    store.create(stage.create())
    (line,) = store._connections._idle
    assert line.connection is not None
    line.connection.answer_by = float("inf")
    line.connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailableError, match="target_session_attrs=read-write") as caught:
        store.create(stage.create())
    assert caught.value.transient
    assert store._connections.open_count == 0
    assert store.create(stage.create()).record.reason is None


def test_a_schema_that_changed_under_a_connection(line: Line, schema_name: str) -> None:
    """A statement whose answer has another form now is transient, and told apart from all else that is unsupported."""
    settings, connection = line
    connection.execute(f"CREATE TABLE {schema_name}.changing (a int)".encode())
    connection.execute(f"PREPARE one AS SELECT * FROM {schema_name}.changing".encode())
    connection.execute("EXECUTE one")
    connection.execute(f"ALTER TABLE {schema_name}.changing ADD b int".encode())
    with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
        connection.execute("EXECUTE one")
    error = translated("save", caught.value, settings, None)
    assert isinstance(error, StoreUnavailableError)
    assert "migrated under an open connection" in str(error)
    assert error.transient


@pytest.mark.parametrize("prepare", [True, False])
def test_a_right_that_is_missing_is_told_as_the_statements_that_grant_it(
    store: PostgresStore, open_store: OpenStore, postgres_server: PostgresServer, schema_name: str, stage: Stage,
    prepare: bool,
) -> None:  # fmt: skip
    """With schema and role in them, however the role is called; who runs just these has what every verb needs."""
    role = f'odd"{schema_name}-role'
    quoted = '"' + role.replace('"', '""') + '"'
    postgres_server.execute(
        f"CREATE ROLE {quoted} LOGIN; REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema_name} FROM public"
    )
    url = as_role(postgres_server.url, role.replace('"', "%22"))
    try:
        error = outage(open_store(url, prepare=prepare))
        assert not error.transient
        statements = str(error).partition("let the owner of the schema run: ")[2]
        assert statements.count("GRANT") == 3
        postgres_server.execute(statements)
        permitted = open_store(url, prepare=prepare)
        for make in COMMANDS.values():
            make(scene(permitted, stage)).apply(permitted)
    finally:
        postgres_server.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


def test_the_schema_vanished(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """If someone drops the schema under a running store, it says what to run."""
    store.create(stage.create())
    postgres_server.execute(f"DROP SCHEMA {schema_name} CASCADE")
    with pytest.raises(StoreUnavailableError, match="run `sessionguard migrate`") as caught:
        store.create(stage.create())
    assert not caught.value.transient


def test_data_that_another_program_spoiled(
    store: PostgresStore, postgres_server: PostgresServer, schema_name: str, stage: Stage
) -> None:
    """Stored data that is no JSON is reported as such by a save, and the connection is kept."""
    record = store.create(stage.create()).record
    postgres_server.execute(f"UPDATE {schema_name}.sg_session SET data = 'no json'")
    with pytest.raises(StoreDataError, match="json"):
        store.save(stage.save(record, {"n": 1}))
    assert store._connections.open_count == 1


def test_numbers_beyond_the_engine_are_the_nearest_that_it_holds(store: PostgresStore, stage: Stage) -> None:
    """An expected version of a thousand digits conflicts; a limit of as many is no limit."""
    record = store.create(stage.create()).record
    assert store.save(stage.save(record, {"n": 1}, expected_version=10**1000)).outcome.value == "conflict"
    assert store.save(stage.save(record, {"n": 1}, limit_bytes=10**1000)).outcome.value == "done"
    assert store.purge(stage.purge(limit=10**1000)).count == 0


@pytest.mark.parametrize(
    "state, kind, transient, remedy",
    [
        ("57P01", StoreUnavailableError, True, "restarting"),
        ("57P03", StoreUnavailableError, True, "restarting"),
        ("40001", StoreUnavailableError, True, "nothing was done"),
        ("40P01", StoreUnavailableError, True, "nothing was done"),
        ("53100", StoreUnavailableError, False, "disk of the server is full"),
        ("53200", StoreUnavailableError, False, "out of memory"),
        ("53300", StoreUnavailableError, True, "no connection left"),
        ("25006", StoreUnavailableError, True, "standby"),
        ("08006", StoreUnavailableError, True, "lost"),
        ("58030", StoreUnavailableError, False, "log"),
        ("57014", StoreTimeoutError, None, "locked"),
        ("55P03", StoreTimeoutError, None, "locked"),
        ("XX001", StoreDataError, None, "XX001"),
        ("23505", StoreDataError, None, "23505"),
        ("0A000", StoreUnavailableError, False, "0A000"),
        ("26000", StoreUnavailableError, False, "prepare=false"),
        ("54001", StoreUnavailableError, False, "54001"),
    ],
)
def test_every_state_has_a_meaning(
    line: Line, state: str, kind: type[Exception], transient: bool | None, remedy: str
) -> None:
    """Each SQLSTATE is told by its class of error, whether repeating helps, and what does."""
    error = translated("save", psycopg.errors.lookup(state)("the server's words"), line[0], None)
    assert type(error) is kind
    assert "the server's words" in str(error)
    assert remedy in str(error)
    assert getattr(error, "transient", None) is transient


@pytest.mark.parametrize(
    "said, transient",
    [
        ("the database system is starting up", True),
        ("the database system is shutting down", True),
        ("the database system is not yet accepting connections", True),
        ("sorry, too many clients already", True),
        ('no pg_hba.conf entry for host "1.2.3.4"', False),
        ("something nobody has heard of", False),
    ],
)
def test_what_a_server_says_as_it_refuses(said: str, transient: bool) -> None:
    """A refusal has no SQLSTATE; what the server said tells whether it will pass."""
    error = refused(psycopg.OperationalError(f'connection failed: connection to server at "h" failed: FATAL:  {said}'))
    assert isinstance(error, StoreUnavailableError)
    assert error.transient is transient


@pytest.mark.parametrize(
    "option, remedy",
    [
        ("sslmode=require", "check sslmode and the certificates"),
        ("gssencmode=require", "kinit"),
        ("hostaddr=999.1.1.1", "correct the address"),
        ("sslmode=bogus", "correct the address or the option"),
        ("port=99999", "correct the address"),
        ("keepalives_idle=abc", "correct the address or the option"),
        ("require_auth=scram-sha-256", "check the user"),
        ("service=nowhere", "correct the address or the option"),
    ],
)
def test_what_libpq_refuses_does_not_pass_by_itself(
    open_store: OpenStore, postgres_server: PostgresServer, option: str, remedy: str
) -> None:
    """What is wrong with the URL, or cannot be agreed with the server, is told with its remedy and not repeated."""
    error = outage(open_store(f"{postgres_server.url}?{option}"))
    assert remedy in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    "said, transient",
    [
        ("SSL error: certificate verify failed", False),
        ('server certificate for "a" does not match host name "b"', False),
        ('root certificate file "/nowhere" does not exist', False),
        ("SSL error: wrong version number", False),
        ("SSL error: unexpected eof while reading", True),
        ("SSL SYSCALL error: EOF detected", True),
        ("server closed the connection unexpectedly", True),
        ("received invalid response to SSL negotiation: H", False),
    ],
)
def test_what_goes_wrong_with_encryption(said: str, transient: bool) -> None:
    """A certificate that does not do will not do later; a connection that was cut may."""
    error = refused(psycopg.OperationalError(f'connection to server at "h", port 5432 failed: {said}'))
    assert isinstance(error, StoreUnavailableError)
    assert error.transient is transient


@pytest.mark.parametrize(
    "said, gone",
    [
        ("Connection refused\n\tIs the server running on that host?", True),
        ("FATAL:  the database system is shutting down", True),
        ("server closed the connection unexpectedly", True),
        ("timeout expired", True),
        ("FATAL:  sorry, too many clients already", False),
        ("FATAL:  password authentication failed", False),
        ("FATAL:  something nobody has heard of", False),
        ("could not translate host name", False),
        ("could not create socket: Too many open files", False),
        ("FATAL:  unsupported startup parameter", False),
    ],
)
def test_which_refusals_speak_for_open_connections(said: str, gone: bool) -> None:
    """Only those after which no other connection can be of use."""
    assert is_gone(psycopg.OperationalError(f'connection to server at "h", port 5432 failed: {said}')) is gone
