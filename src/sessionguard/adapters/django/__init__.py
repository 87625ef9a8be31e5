"""Django: `SESSION_ENGINE = "sessionguard.adapters.django.engine"` keeps `request.session` in a guard.

The same name in INSTALLED_APPS adds the system checks, the management commands and the owner of a session at login.
"""

from sessionguard.errors import MissingExtraError

try:
    import django  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "django":
        raise
    raise MissingExtraError("django", "django>=5") from error
