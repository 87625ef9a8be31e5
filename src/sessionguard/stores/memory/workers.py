"""Whether several worker processes serve this application, as far as the servers tell."""

import functools
import logging
import os
import sys

from sessionguard.errors import ConfigurationError

_log = logging.getLogger("sessionguard.stores")


def refuse_several_workers() -> None:
    """Return if no server says that it runs several workers, each of which would see only some of the sessions.

    Raises:
        ConfigurationError: one does.
    """
    workers = os.environ.get("WEB_CONCURRENCY", "")
    if workers.isdigit():
        _refuse_more_than_one("WEB_CONCURRENCY", int(workers))
    elif os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        _warn_about_gunicorn()
    # Looked up, not imported: inside uWSGI it is always loaded, and elsewhere the name may be anybody's.
    uwsgi_workers = getattr(sys.modules.get("uwsgi"), "numproc", None)
    if isinstance(uwsgi_workers, int):
        _refuse_more_than_one("uwsgi.numproc", uwsgi_workers)


def _refuse_more_than_one(setting: str, workers: int) -> None:
    if workers > 1:
        raise ConfigurationError(
            setting,
            workers,
            "memory:// keeps sessions in one process, so several workers would each see only some; use sqlite:///...",
        )


@functools.cache
def _warn_about_gunicorn() -> None:
    # Not refused: its workers may be one, and nothing that they see tells.
    _log.warning(
        "memory:// keeps sessions in one process, and gunicorn does not tell how many workers it runs; "
        "with more than one, use sqlite:///..., or set WEB_CONCURRENCY instead of --workers"
    )
