"""The tests of locks use the same guards as the tests of the guards."""

from tests.guard.conftest import clock, guard, open_guard, store

__all__ = ["clock", "guard", "open_guard", "store"]
