"""The blocking and the async guard are one interface."""

import inspect

import sessionguard
from tests.architecture.guard_parity import differences

PROMISED_CALLS = {
    "open", "create", "get_or_create", "replace", "load", "get", "save", "modify", "touch", "rotate", "end",
    "end_owner", "sessions", "sweep", "purge", "workspace", "hold", "lock", "close",
}  # fmt: skip


def test_guards_have_the_same_face() -> None:
    """Both guards have the same public names, parameters and first docstring lines, in the same order."""
    assert differences(sessionguard.SessionGuard, sessionguard.AsyncSessionGuard) == []


def test_guards_have_every_promised_call() -> None:
    """The calls others rely on exist on both guards."""
    for guard in (sessionguard.SessionGuard, sessionguard.AsyncSessionGuard):
        assert {name for name in PROMISED_CALLS if not hasattr(guard, name)} == set()


def test_guards_explain_every_call() -> None:
    """Every public member of both guards has a docstring."""
    for guard in (sessionguard.SessionGuard, sessionguard.AsyncSessionGuard):
        public = {name: member for name, member in vars(guard).items() if not name.startswith("_")}
        assert [name for name, member in public.items() if not inspect.getdoc(member)] == []


class Blocking:
    """The twin that is right."""

    def first(self, session: str, *, reason: str = "revoked") -> None:
        """End it."""

    def second(self) -> None:
        """Look at it."""

    @property
    def third(self) -> int:
        """How many."""
        return 0

    def __enter__(self) -> None:
        """Open it."""


def test_equal_twins_do_not_differ() -> None:
    """An async twin with the same face passes."""

    class Twin:
        async def first(self, session: bytes, *, reason: str = "revoked") -> None:
            """End it."""

        async def second(self) -> None:
            """Look at it."""

        @property
        def third(self) -> int:
            """How many."""
            return 0

        async def __aenter__(self) -> None:
            """Open it."""

    assert differences(Blocking, Twin) == []


def test_planted_differences_are_caught() -> None:
    """A missing name, another order, default, kind of parameter, docstring or kind of member is reported."""

    class Twin:
        async def second(self) -> None:
            """Look elsewhere."""

        async def first(self, session: str, reason: str = "expired") -> None:
            """End it."""

        async def third(self) -> int:
            """How many."""
            return 0

        async def fourth(self) -> None:
            """Stand alone."""

    found = differences(Blocking, Twin)
    for beginning in (
        "__enter__: only on Blocking",
        "fourth: only on Twin",
        "the public names stand in another order",
        "first: parameters",
        "second: first docstring lines",
        "third: a property here",
    ):
        assert sum(difference.startswith(beginning) for difference in found) == 1, beginning
    assert len(found) == 6
