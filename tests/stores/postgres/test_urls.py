"""Store URLs: what they say, what is refused, and that no password is repeated."""

import subprocess
import sys

import pytest

from sessionguard.errors import ConfigurationError, SessionGuardError
from sessionguard.stores.opening import open_store
from sessionguard.stores.postgres import AsyncPostgresStore, PostgresStore


def test_a_url_sets_everything() -> None:
    """Our options are ours, all others are libpq's; neither connects."""
    store = open_store(
        "postgresql://ana:s%40cret@db.example:6432/app?schema=guard&pool=3&patience=1.5&prepare=false&migrate=false"
        "&sslmode=require&application_name=my%20app"
    )
    assert isinstance(store, PostgresStore)
    settings = store.settings
    assert (settings.schema, settings.pool_size, settings.patience_seconds) == ("guard", 3, 1.5)
    assert (settings.prepare, settings.migrate) == (False, False)
    said = settings.parameters
    assert (said["host"], str(said["port"]), said["dbname"], said["password"]) == (
        "db.example",
        "6432",
        "app",
        "s@cret",
    )
    assert (said["sslmode"], said["application_name"]) == ("require", "my app")
    assert "options" not in said
    twin = store.as_async()
    assert isinstance(twin, AsyncPostgresStore)
    assert twin.settings == settings


def test_every_connection_has_its_timeouts() -> None:
    """Unless a URL says otherwise, no wait of libpq, of the network or of the server is without an end."""
    said = PostgresStore("postgresql://h/db", patience_seconds=2.0).settings.parameters
    assert (said["connect_timeout"], said["keepalives"], said["tcp_user_timeout"]) == (2, 1, 2000)
    for setting in ("statement_timeout=2000", "lock_timeout=2000", "idle_in_transaction_session_timeout=10000"):
        assert f"-c {setting}" in said["options"]
    own = PostgresStore("postgresql://h/db?connect_timeout=9&options=-c%20geqo%3Doff").settings.parameters
    assert str(own["connect_timeout"]) == "9"
    assert own["options"].startswith("-c geqo=off -c ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:topsecret%zz@h/db",
        "postgresql://ana:topsecret@h/db?pool=0",
        "postgresql://ana:topsecret@h/db?pool=many",
        "postgresql://ana:topsecret@h/db?patience=0",
        "postgresql://ana:topsecret@h/db?patience=soon",
        "postgresql://ana:topsecret@h/db?prepare=no",
        "postgresql://ana:topsecret@h/db?migrate=1",
        "postgresql://ana:topsecret@h/db?unheard=of",
        "postgresql://ana:topsecret@h/db?schema=pg_mine",
        "postgresql://ana:topsecret@h/db?schema=a%22b",
        "postgresql://ana:topsecret@h/db?schema=",
        "postgresql://ana:top?secret@h/db",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    """What is wrong is told; nothing of the password is in the message, the cause or the settings' text."""
    with pytest.raises(SessionGuardError) as caught:
        open_store(url)
    assert isinstance(caught.value, ConfigurationError)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "secret" not in repr(PostgresStore("postgresql://ana:topsecret@h/db").settings)


def test_the_extra_is_named_where_psycopg_is_missing() -> None:
    """Without psycopg the opener says what to install."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from sessionguard.errors import MissingExtraError\n"
        "from sessionguard.stores.opening import open_store\n"
        "try: open_store('postgresql://h/db')\n"
        "except MissingExtraError as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "pip install 'psycopg[binary]>=3.3.9'" in told


@pytest.mark.parametrize("password", ["p@hidden", "hid/den", "a@b/hidden"])
def test_a_password_that_would_be_taken_for_a_host_is_refused(password: str) -> None:
    """It is told how to write it, before libpq can name a part of it as a host that it does not find."""
    with pytest.raises(ConfigurationError, match="percent-encoded") as caught:
        open_store(f"postgresql://user:{password}@127.0.0.1:1/db")
    assert "hid" not in str(caught.value)
