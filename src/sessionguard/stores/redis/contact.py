"""Why a first contact with a server came to nothing: which setting is wrong, its value, and what to do about it."""

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final, TypeVar

from attrs import frozen
from redis import exceptions as driver

from sessionguard.errors import ConfigurationError, SessionGuardError, StoreError, StoreUnavailableError
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.certificates import require_usable
from sessionguard.stores.redis.settings import Settings
from sessionguard.stores.redis.speech import Speech, spoken

E = TypeVar("E", bound=BaseException)

# So long the first try to encrypt takes at most: a server that speaks plain does not answer it at all.
_FIRST_TRY_SECONDS: Final = 1.0
_SIGN_IN: Final = "redis://user:password@host, what is not a letter or digit as %XX"
_NAME_DIFFERS: Final = (62, 64)
"""How OpenSSL numbers a certificate for another host, and for another address."""
_EXPIRED: Final = 10


@frozen
class Contact:
    """A server that is to be met, as a line of the store meets it."""

    settings: Settings
    address: Address
    of_sentinel: bool = False

    @property
    def first_try_seconds(self) -> float:
        """How long to wait for TLS before the server is asked whether it speaks it."""
        return min(_FIRST_TRY_SECONDS, self.settings.patience_seconds / 2)

    def may_be_slow(self, error: BaseException, left_seconds: float) -> bool:
        """Tell whether another try to connect, which may take what is left, could go better than the first one did.

        Blocks no longer than for what is left.
        """
        return left_seconds > 0 and self.is_doubtful(error) and spoken(self.address, left_seconds) != "plain"

    def is_doubtful(self, error: BaseException) -> bool:
        """Tell whether it may be that one speaks TLS and the other does not, so that asking the server blocks."""
        if isinstance(error, driver.AuthenticationError | driver.BusyLoadingError | driver.MaxConnectionsError):
            return False
        if _first(error, ConnectionRefusedError) or _first(error, socket.gaierror):
            return False
        if isinstance(error, driver.TimeoutError | TimeoutError):
            return self.settings.encryption is not None
        return isinstance(error, driver.ConnectionError | driver.InvalidResponse | OSError)

    def explained(self, error: BaseException, left_seconds: float) -> SessionGuardError | None:
        """Give the error for one of the driver or the system; None if it says nothing about the contact itself.

        Asks the server how it speaks, where that is in doubt, and blocks no longer than for what is left.
        """
        if self.settings.encryption is not None:
            try:
                require_usable(self.settings.encryption)
            except ConfigurationError as unusable:
                return unusable
        speech = spoken(self.address, left_seconds) if self.is_doubtful(error) else None
        return self._refused(error) or self._misunderstood(error, speech) or self._unreachable(error)

    # What the server said

    def _refused(self, error: BaseException) -> StoreError | None:
        text = str(error)
        if isinstance(error, driver.AuthenticationError):
            return _permanent(self._signed_in_wrongly(text))
        if not isinstance(error, driver.ResponseError):
            return None
        if "DB index is out of range" in text:
            return StoreError(
                "redis",
                "connect",
                f"{self.address} has no database {self.settings.db}, which the URL names behind the host; use a lower "
                "number (0 to 15, if its setting `databases` is as usual)",
            )
        if "SELECT is not allowed in cluster mode" in text:
            return cluster_met(self.address)
        if re.search(r"unknown command .SELECT", text) is not None:
            return sentinel_met(self.address)
        return None

    def _signed_in_wrongly(self, text: str) -> str:
        remedy = f"write user and password into the URL, as {_SIGN_IN}"
        if self.of_sentinel:
            remedy = "set the options sentinel_username and sentinel_password of the URL"
        if "Authentication required" in text:
            return f"{self._name} wants a password and was given none; {remedy}"
        if "without any password" in text or "no password is set" in text:
            return (
                f"{self._name} has no password for its default user, and was given one; leave the password out, or "
                f"name the user, too: {remedy}"
            )
        return f"{self._name} refused the user or the password ({text.rstrip('.')}); {remedy}"

    # What came of TLS

    def _misunderstood(self, error: BaseException, speech: Speech | None) -> StoreError | None:
        encryption = self.settings.encryption
        if encryption is None:
            if speech != "encrypted":
                return None
            return _permanent(
                f"{self._name} speaks TLS, and the URL asks for a plain connection; write rediss in the place of redis"
                ", or name its plain port"
            )
        if speech == "plain":
            return _permanent(
                f"{self._name} speaks no TLS, and the URL asks for it; write redis in the place of rediss, or name the "
                "port on which it is encrypted (tls-port)"
            )
        distrust = _first(error, ssl.SSLCertVerificationError)
        if distrust is not None:
            return _permanent(
                f"the certificate of {self._name} is not trusted ({distrust.verify_message}); "
                f"{_trust(distrust.verify_code, encryption.ca_certs)}"
            )
        if re.search(r"\bALERT_|\balert ", str(error)) is not None:
            shown = "none" if encryption.certfile is None else repr(encryption.certfile)
            return _permanent(
                f"{self._name} ended the encryption ({_reason(error)}); if it wants to see a certificate, name one "
                f"that it trusts as ssl_certfile and ssl_keyfile (ssl_certfile is {shown})"
            )
        return None

    # What the network said

    def _unreachable(self, error: BaseException) -> StoreError | None:
        where = self._where
        if _first(error, ConnectionRefusedError) is not None:
            return _passing(f"nothing listens at {self.address} (connection refused); {where}")
        if (unknown := _first(error, socket.gaierror)) is not None:
            return _passing(f"the host {self.address.host!r} is not known ({unknown.strerror}); {where}")
        if isinstance(error, driver.TimeoutError | TimeoutError):
            return self.timed_out()
        if type(error) is driver.ConnectionError or isinstance(error, OSError):
            return _passing(f"the connection to {self._name} failed ({_reason(error)}); {where}")
        return None

    def timed_out(self) -> StoreUnavailableError:
        """Give the error for a server of which nothing was heard for as long as the patience of the store lasts."""
        seconds = f"{self.settings.patience_seconds:g} s"
        return _passing(
            f"{self._name} did not answer in time (patience is {seconds}); {self._where}, and that no firewall is "
            "between"
        )

    @property
    def _where(self) -> str:
        return f"see that {'a sentinel' if self.of_sentinel else 'the server'} runs there, and {self._source}"

    @property
    def _name(self) -> str:
        return f"the sentinel {self.address}" if self.of_sentinel else str(self.address)

    @property
    def _source(self) -> str:
        if self.settings.topology == "sentinel" and not self.of_sentinel:
            return "that its replicas are announced under addresses that lead here, too"
        return "that host and port of the URL are right"


def cluster_met(address: Address) -> StoreError:
    """Give the error for a node of a cluster where something else was to be."""
    return StoreError(
        "redis", "connect", f"{address} is part of a cluster; write the URL as redis+cluster://user:password@{address}"
    )


def sentinel_met(address: Address) -> StoreError:
    """Give the error for a sentinel where a server was to be."""
    return StoreError(
        "redis",
        "connect",
        f"{address} is a sentinel and keeps nothing; write the URL as redis+sentinel://{address}/<name>/0 with the "
        "name that it has for the server, or name the server itself (usually port 6379)",
    )


def server_met(address: Address, service: str) -> StoreError:
    """Give the error for a server where a sentinel was to be."""
    return StoreError(
        "redis",
        "connect",
        f"{address} is no sentinel; name the port of one (usually 26379), as in redis+sentinel://{address.host}:26379/"
        f"{service}/0, or write redis://{address}/0 if it is the server itself",
    )


def no_cluster_met(address: Address) -> StoreError:
    """Give the error for a server that is alone where a node of a cluster was to be."""
    return StoreError(
        "redis", "connect", f"{address} is not part of a cluster; write the URL as redis://user:password@{address}/0"
    )


def _trust(code: int, ca_certs: str | None) -> str:
    if code in _NAME_DIFFERS:
        return "write the host into the URL as the certificate names it"
    if code == _EXPIRED:
        return "renew it"
    if ca_certs is None:
        return "name the file of certificates to trust, as in rediss://host?ssl_ca_certs=/etc/ssl/redis.pem"
    return f"ssl_ca_certs = {ca_certs!r} does not vouch for it; name the file of who signed it"


def _permanent(message: str) -> StoreUnavailableError:
    return StoreUnavailableError("redis", "connect", message)


def _passing(message: str) -> StoreUnavailableError:
    return StoreUnavailableError("redis", "connect", message, transient=True)


def _reason(error: BaseException) -> str:
    origin = _first(error, OSError)
    return str(error if origin is None or not origin.strerror else origin.strerror)


def _first(error: BaseException, kind: type[E]) -> E | None:
    """Give the error of this kind that `error` came from, or is."""
    return next((one for one in _origins(error) if isinstance(one, kind)), None)


def _origins(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
