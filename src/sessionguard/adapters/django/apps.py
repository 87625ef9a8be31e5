"""The app: system checks, management commands, and the owner of a session at login."""

from django.apps import AppConfig
from django.core import checks as django_checks

from sessionguard.adapters.django import checks, owners


class SessionGuardConfig(AppConfig):
    """`sessionguard.adapters.django` in INSTALLED_APPS."""

    name = "sessionguard.adapters.django"
    label = "sessionguard"
    verbose_name = "Sessions"

    def ready(self) -> None:
        """Register what Django calls."""
        django_checks.register(checks.check_settings, "sessionguard")
        django_checks.register(checks.check_middleware, "sessionguard")
        django_checks.register(checks.check_cookie, "sessionguard", django_checks.Tags.security)
        owners.connect()
