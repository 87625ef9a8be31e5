"""The app: system checks, management commands, the owner of a session at login, and error reports without tokens."""

from contextlib import suppress

from django.apps import AppConfig
from django.conf import settings
from django.core import checks as django_checks

from sessionguard.adapters.django import checks, cookies, guards, hiding, owners
from sessionguard.errors import ConfigurationError


class SessionGuardConfig(AppConfig):
    """`sessionguard.adapters.django` in INSTALLED_APPS."""

    name = "sessionguard.adapters.django"
    label = "sessionguard"
    verbose_name = "Sessions"

    def ready(self) -> None:
        """Register what Django calls, and agree with it on the name of the cookie."""
        django_checks.register(checks.check_settings, "sessionguard")
        django_checks.register(checks.check_effect, "sessionguard")
        django_checks.register(checks.check_external_ids, "sessionguard", django_checks.Tags.urls)
        django_checks.register(checks.check_middleware, "sessionguard")
        django_checks.register(checks.check_cookie, "sessionguard", django_checks.Tags.security)
        owners.connect()
        hiding.install()
        if checks.OUR_MIDDLEWARE in settings.MIDDLEWARE:
            # What is wrong is told by the check of the settings.
            with suppress(ConfigurationError):
                cookies.share_name(guards.read())
