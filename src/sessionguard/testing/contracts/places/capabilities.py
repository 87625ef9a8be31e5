"""What a place for files under test says it can do, so that nothing is skipped without a visible reason."""

from attrs import frozen


@frozen(kw_only=True)
class PlaceCapabilities:
    """What the place under test can do. Everything is expected unless it is declared missing."""

    shared: bool = True
    """Calling `make_workspaces` again gives another connection to the same files."""
    processes: bool = True
    """Other processes reach the same files, through a `make_workspaces` that can be pickled."""
    forks: bool = True
    """A process that uses it may fork."""
    leases: bool = True
    """It knows by itself who uses a workspace. False where `leases_in_store` is set, and the store knows."""
    paths: bool = True
    """`workspace.path` is a directory; else it raises MisuseError."""
    inspection: bool = True
    """It tells how young, how large and what is left over, by `is_young`, `measure` and `leftovers`. Without them a dry
    run counts no files, and those of which the store knows no session are never removed."""
    fences: bool = True
    """Whoever comes with a lower fence is refused."""
    owner_quotas: bool = True
    """It honours what all sessions of an owner may hold together."""

    def missing(self, needs: frozenset[str]) -> str | None:
        """Give why a case with these needs is skipped, or None if nothing is missing."""
        lacking = sorted(need for need in needs if not getattr(self, need))
        if not lacking:
            return None
        return f"the place declares PlaceCapabilities({', '.join(f'{need}=False' for need in lacking)})"
