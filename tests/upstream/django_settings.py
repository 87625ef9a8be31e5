"""Settings with which Django's own `runtests.py` runs its cases over our session engine.

They are those of its `test_sqlite`, and where our store is. Its middleware stays as it is.
"""

import os
import sys
import tempfile

from test_sqlite import *  # noqa: F403 - from the folder that Django's suite is run in

SESSION_ENGINE = "sessionguard.adapters.django.engine"
SESSIONGUARD_STORE = {
    "memory": "memory://",
    # `runtests.py` has made a temporary folder by now, and removes it.
    "sqlite": f"sqlite:///{tempfile.gettempdir()}/sessions.db",
}[os.environ["UPSTREAM_STORE"]]
TEST_RUNNER = "tests.upstream.django_runner.HeldToTableRunner"

if "UPSTREAM_APP" in os.environ:
    # INSTALLED_APPS is not what a settings module says, but this list of `runtests.py`.
    sys.modules["__main__"].ALWAYS_INSTALLED_APPS.append("sessionguard.adapters.django")
