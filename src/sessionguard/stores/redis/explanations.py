"""Why a server could not be met, as an error: which setting is wrong, its value, and what to do. Nothing is asked."""

import re
import socket
import ssl
from typing import Final, Literal

from attrs import frozen
from redis import exceptions as driver

from sessionguard.errors import ConfigurationError, StoreError, StoreUnavailableError
from sessionguard.stores.redis.asking import Address
from sessionguard.stores.redis.failures import Failure
from sessionguard.stores.redis.settings import Settings
from sessionguard.stores.redis.wrong_servers import cluster_met, sentinel_met

Seen = Literal["speaks otherwise", "wants a certificate"]
"""What may be seen of a server: it speaks TLS where the URL asks for none, or the reverse; it wants a certificate."""

_SIGN_IN: Final = "redis://user:password@host, what is not a letter or digit as %XX"
_NAME_DIFFERS: Final = (62, 64)
"""How OpenSSL numbers a certificate for another host, and for another address."""
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10


@frozen
class Explanation:
    """What is said of a server that could not be met."""

    settings: Settings
    address: Address
    of_sentinel: bool

    def of(self, failure: Failure, seen: Seen | None = None) -> StoreError | None:
        """Give the error for a failure, and for what was seen of the server since.

        None if it says nothing about the contact itself.
        """
        if seen == "speaks otherwise":
            return self._misunderstood()
        if seen == "wants a certificate":
            return self._unshown("certificate required")
        return self._refused(failure.error) or self._distrusted(failure) or self._unreachable(failure)

    def of_files(self, unusable: ConfigurationError) -> StoreUnavailableError:
        """Give the error for a file of TLS that was usable when the store was opened: it may just be exchanged."""
        error = _passing(f"a file of TLS can be used no more, so {self._name} could not be met ({unusable})")
        error.__cause__ = unusable
        return error

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

    def _misunderstood(self) -> StoreError:
        if self.settings.encryption is None:
            return _permanent(
                f"{self._name} speaks TLS, and the URL asks for a plain connection; write rediss in the place of redis"
                ", or name its plain port"
            )
        return _permanent(
            f"{self._name} speaks no TLS, and the URL asks for it; write redis in the place of rediss, or name the "
            "port on which it is encrypted (tls-port)"
        )

    def _distrusted(self, failure: Failure) -> StoreError | None:
        encryption = self.settings.encryption
        if encryption is None:
            return None
        distrust = failure.first(ssl.SSLCertVerificationError)
        if distrust is not None:
            return _permanent(
                f"the certificate of {self._name} is not trusted ({distrust.verify_message}); "
                f"{_trust(distrust.verify_code, encryption.ca_certs)}"
            )
        if re.search(r"\bALERT_|\balert ", str(failure.error)) is not None:
            return self._unshown(failure.reason)
        return None

    def _unshown(self, reason: str) -> StoreError:
        encryption = self.settings.encryption
        shown = "none" if encryption is None or encryption.certfile is None else repr(encryption.certfile)
        return _permanent(
            f"{self._name} ended the encryption ({reason}); if it wants to see a certificate, name one that it trusts "
            f"as ssl_certfile and ssl_keyfile (ssl_certfile is {shown})"
        )

    # What the network said

    def _unreachable(self, failure: Failure) -> StoreError | None:
        where = self._where
        if failure.first(ConnectionRefusedError) is not None:
            return _passing(f"nothing listens at {self.address} (connection refused); {where}")
        if (unknown := failure.first(socket.gaierror)) is not None:
            return _passing(f"the host {self.address.host!r} is not known ({unknown.strerror}); {where}")
        if isinstance(failure.error, driver.TimeoutError | TimeoutError):
            return self._timed_out()
        if type(failure.error) is driver.ConnectionError or isinstance(failure.error, OSError):
            return _passing(f"the connection to {self._name} failed ({failure.reason}); {where}")
        return None

    def _timed_out(self) -> StoreUnavailableError:
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


def _trust(code: int, ca_certs: str | None) -> str:
    if code in _NAME_DIFFERS:
        return "write the host into the URL as the certificate names it"
    if code == _EXPIRED:
        return "renew it"
    if code == _NOT_YET_VALID:
        return "see that the clock of this machine is right, or wait until the certificate is valid"
    if ca_certs is None:
        return "name the file of certificates to trust, as in rediss://host?ssl_ca_certs=/etc/ssl/redis.pem"
    return f"ssl_ca_certs = {ca_certs!r} does not vouch for it; name the file of who signed it"


def _permanent(message: str) -> StoreUnavailableError:
    return StoreUnavailableError("redis", "connect", message)


def _passing(message: str) -> StoreUnavailableError:
    return StoreUnavailableError("redis", "connect", message, transient=True)
