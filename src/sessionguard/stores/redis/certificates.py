"""The files that TLS goes by; which of them cannot be used is told before a server is asked, with its option."""

import ssl
from typing import Final, NoReturn

from attrs import frozen

from sessionguard.errors import ConfigurationError

_TRUSTED: Final = "ssl_ca_certs"
_SHOWN: Final = "ssl_certfile"
_KEY: Final = "ssl_keyfile"


@frozen(kw_only=True)
class Encryption:
    """What TLS goes by: certificates to trust, and one to show."""

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


def require_usable(encryption: Encryption) -> None:
    """Raise `ConfigurationError` if a file is not there, cannot be read, or is not what its option asks for."""
    for option, path in ((_TRUSTED, encryption.ca_certs), (_SHOWN, encryption.certfile), (_KEY, encryption.keyfile)):
        if path is not None:
            _require_readable(option, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if encryption.ca_certs is not None:
        try:
            context.load_verify_locations(cafile=encryption.ca_certs)
        except ssl.SSLError as error:
            remedy = "it holds no certificate; name a PEM file with the certificates to trust"
            raise ConfigurationError(_TRUSTED, encryption.ca_certs, remedy) from error
    if encryption.certfile is not None:
        _require_pair(context, encryption.certfile, encryption.keyfile)
    elif encryption.keyfile is not None:
        raise ConfigurationError(_KEY, encryption.keyfile, f"a key alone shows nothing; name its {_SHOWN}, too")


def _require_readable(option: str, path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        remedy = f"it cannot be read ({error.strerror}); name a PEM file that this process may read"
        raise ConfigurationError(option, path, remedy) from error


def _require_pair(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    def refuse() -> NoReturn:
        # Without this, OpenSSL would ask at the terminal, and a service has none.
        remedy = "its key wants a pass phrase, and there is nobody to ask; name a file with a key that has none"
        raise ConfigurationError(_KEY if key else _SHOWN, key or certificate, remedy)

    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if key is None:
            remedy = f"it holds no certificate with its key; name the file of the key as {_KEY}"
            raise ConfigurationError(_SHOWN, certificate, remedy) from error
        remedy = f"it is not the key of the certificate in {_SHOWN} = {certificate!r}, or one of them is no PEM file"
        raise ConfigurationError(_KEY, key, remedy) from error
