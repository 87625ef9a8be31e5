"""Django's own cases for a session engine, blocking and async, on ours."""

from django.test import SimpleTestCase
from sessions_tests.tests import SessionTestsMixin

from sessionguard.adapters.django.engine import SessionStore


class GuardSessionTests(SessionTestsMixin, SimpleTestCase):  # type: ignore[misc]
    """The cases that each of Django's engines passes."""

    backend = SessionStore
