"""The scheduler of tests: races on demand, every schedule there is or the telling ones, shrunk and repeatable."""
