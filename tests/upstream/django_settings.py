"""Settings with which Django's own `runtests.py` runs its cases over our session engine.

They are those of its `test_sqlite`, and where our store is.
"""

import os
import sys
import tempfile

from test_sqlite import *  # noqa: F403 - from the folder that Django's suite is run in

SESSION_ENGINE = "sessionguard.adapters.django.engine"
TEST_RUNNER = "tests.upstream.django_runner.HeldToTableRunner"

if os.environ["UPSTREAM_TABLE"] == "django-engine":
    SESSIONGUARD_STORE = "memory://"
else:
    # `runtests.py` has made a temporary folder by now, and removes it.
    SESSIONGUARD_STORE = f"sqlite:///{tempfile.gettempdir()}/sessions.db"
    # The cases speak plain HTTP, and look for the session under Django's name of the cookie.
    SESSIONGUARD_COOKIE_SECURE = False
    SESSIONGUARD_COOKIE_NAME = "sessionid"
    # Neither is what a settings module says: they are lists of `runtests.py`.
    runtests = sys.modules["__main__"]
    runtests.ALWAYS_INSTALLED_APPS.append("sessionguard.adapters.django")
    middleware = runtests.ALWAYS_MIDDLEWARE
    replaced = middleware.index("django.contrib.sessions.middleware.SessionMiddleware")
    middleware[replaced] = "sessionguard.adapters.django.middleware.SessionGuardMiddleware"
